"""How long Snakemake takes to plan thousands of jobs, and in how much memory.

A dry run of the whole table: 100 backends x 5 corpora x 5 seeds, of which each is
trained, embedded twice and scored. Nothing is made, so each job is planned. Beside it
the least that Snakemake itself takes: as many jobs of that shape, each with a script, a
log and a benchmark as here, but with no other inputs, parameters or resources.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]

BARE = """
rule all:
    input: expand("{corpus}/{backend}/{seed}.score", **config)

rule manifest:
    output: "{corpus}.csv"
    script: "empty.py"

rule train:
    input: "{corpus}.csv"
    output: "{corpus}/{backend}/{seed}.model"
    log: "{corpus}/{backend}/{seed}.train.log"
    benchmark: "{corpus}/{backend}/{seed}.train.tsv"
    script: "empty.py"

rule embed:
    input: "{corpus}/{backend}/{seed}.model"
    output: "{corpus}/{backend}/{seed}.{split}.h5"
    log: "{corpus}/{backend}/{seed}.{split}.embed.log"
    benchmark: "{corpus}/{backend}/{seed}.{split}.embed.tsv"
    script: "empty.py"

rule score:
    input: expand("{{corpus}}/{{backend}}/{{seed}}.{split}.h5", split=["valid", "test"])
    output: "{corpus}/{backend}/{seed}.score"
    log: "{corpus}/{backend}/{seed}.score.log"
    benchmark: "{corpus}/{backend}/{seed}.score.tsv"
    script: "empty.py"
"""


def grid_of(*, backends: int, corpora: int, seeds: int) -> dict[str, object]:
    """Give the settings of a grid of so many runs, for ``--configfile``."""
    names = [f"corpus-{number}" for number in range(corpora)]
    width = {"layer_pool": "weighted-sum", "network": "mean"}
    return {
        "corpora": {
            name: {
                "kind": "synthetic",
                "options": {"root": f"audio/{name}", "speakers": 9}
                | {"utterances_per_speaker": 9, "seed": number},
                "split": {"valid": 3, "test": 3, "seed": 0},
                "valid_trials": f"{name}-valid",
            }
            for number, name in enumerate(names)
        },
        "trials": {
            f"{name}-{split}": {"corpus": name, "split": split, "num_targets": 9}
            | {"seed": 0}
            for name in names
            for split in ("valid", "test")
        },
        "backends": {
            f"backend-{size}": {
                "kind": "combined",
                "options": width | {"embedding_size": size + 1},
            }
            for size in range(backends)
        },
        "grid": [
            {
                "train": name,
                "test": [f"{name}-test"],
                "backbones": ["tiny-wavlm"],
                "backends": [f"backend-{size}" for size in range(backends)],
                "seeds": list(range(seeds)),
            }
            for name in names
        ],
    }


def plan(settings: dict[str, object]) -> tuple[int, float, float]:
    """Dry-run a grid; give its jobs, the seconds, and the most memory (MB)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "grid.yaml")
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return dry_run(
            *("results/table.csv", "--directory", folder, "--snakefile"),
            *(str(ROOT / "Snakefile"), "--configfile"),
            *(str(ROOT / "config.yaml"), str(file)),
        )


def plan_bare(**sizes: int) -> tuple[int, float, float]:
    """Dry-run as many jobs that have next to nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text(BARE, encoding="utf-8")
        Path(folder, "empty.py").touch()
        names = {name: [*range(count)] for name, count in sizes.items()}
        file = Path(folder, "sizes.yaml")
        file.write_text(yaml.safe_dump(names), encoding="utf-8")
        snakefile = str(Path(folder, "Snakefile"))
        return dry_run(
            *("--directory", folder, "--snakefile", snakefile),
            *("--configfile", str(file)),
        )


def dry_run(*arguments: str) -> tuple[int, float, float]:
    """Give the jobs of a workflow, the seconds, and the most memory so far (MB)."""
    started = time.monotonic()
    said = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", *arguments),
            *("--dry-run", "--quiet", "rules", "--cores", "2"),
        ],
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - started
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    jobs = re.findall(r"^total +(\d+)$", said.stdout + said.stderr, re.MULTILINE)
    return int(jobs[0]), seconds, memory


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", type=int, default=100)
    parser.add_argument("--corpora", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    sizes = {"corpora": options.corpora, "seeds": options.seeds}
    print(f"{'':12} {'jobs':>8} {'seconds':>8} {'MB':>6}")
    # The small ones first: of the children the most memory is what is known.
    bare = plan_bare(
        corpus=sizes["corpora"], backend=options.backends, seed=sizes["seeds"]
    )
    report("bare", *bare)
    report("one backend", *plan(grid_of(backends=1, **sizes)))
    whole = plan(grid_of(backends=options.backends, **sizes))
    report("the grid", *whole)
    print(f"the grid, of bare jobs: {whole[1] / bare[1]:.2f}")


def report(what: str, jobs: int, seconds: float, memory: float) -> None:
    """Print a line."""
    print(f"{what:12} {jobs:>8} {seconds:>8.1f} {memory:>6.0f}", flush=True)


if __name__ == "__main__":
    main()
