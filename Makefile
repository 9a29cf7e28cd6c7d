# Each target sets up what it needs; a set-up that is up to date is skipped.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/set-up
# What changed its meaning between the versions that pyproject.toml allows.
OLDEST := $(VENV)/transformers-4.57

BROWSER := $(VENV)/browser
# Many tests at a time; a free process takes over what another has still before it.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

CLUSTER := $(VENV)/cluster

.PHONY: table report test test-slurm test-oldest check clean help

table: $(SETUP)  ## fill results/table.csv (the demo, unless config.yaml says otherwise)
	$(BIN)/snakemake --cores all results/table.csv
	@cat results/table.md

report: $(SETUP)  ## fill the tables and write results/report.html
	$(BIN)/snakemake --cores all

test: $(SETUP) $(BROWSER)  ## run the tests
	$(PYTEST)

test-slurm: $(CLUSTER)  ## run on a SLURM cluster of one node, and on a shared folder (Debian, as root)
	$(BIN)/python -m pytest -m slurm tests/slurm

test-oldest: $(OLDEST)  ## run the tests of the encoders on the oldest transformers
	PYTHONPATH=$(OLDEST) $(BIN)/python -c "import transformers as t; print(t.__version__)"
	PYTHONPATH=$(OLDEST) $(PYTEST) tests/test_backbone.py tests/test_extract.py

check: $(SETUP)  ## format, types, lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

clean:  ## remove the set-up; results and cache stay
	rm -rf $(VENV)

help:
	@sed -n 's/^\([a-z-]*\):.*##/\1 /p' $(MAKEFILE_LIST)

# Written last, so a set-up that was broken off is done again.
$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable '.[demo,lhotse,test,check]'
	touch $@

# What looks at the report: a browser that is there, else playwright's own. Without any
# its tests are skipped, and say so.
$(BROWSER): | $(SETUP)
	command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| $(BIN)/playwright install --only-shell chromium || true
	touch $@

# The executors, and what only root can install: the daemons of a cluster, and a file
# system that nodes share. Without them the tests are skipped, and say so.
$(CLUSTER): $(SETUP) Makefile
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[cluster]'
	which slurmctld slurmd sbatch munged bindfs >/dev/null || { apt-get update --quiet \
		&& DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
			--no-install-recommends munge slurm-client slurmctld slurmd bindfs; } || true
	touch $@

$(OLDEST): | $(SETUP)
	$(BIN)/pip install --quiet --no-deps --target $@.partial \
		transformers==4.57.6 huggingface-hub==0.36.2 tokenizers==0.22.2
	mv $@.partial $@
