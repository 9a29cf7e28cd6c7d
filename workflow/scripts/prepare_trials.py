from pathlib import Path

from unipool.log import job_log
from unipool.pairing import prepare_trials

files = {name: snakemake.input.get(name) for name in ("file", "enrolments")}
options = dict(snakemake.params.items())
del options["version"], options["source"]
with job_log(snakemake.log[0], f"prepare_trials {snakemake.wildcards.trials}"):
    prepare_trials(
        manifest=Path(snakemake.input.manifest),
        trials=Path(snakemake.output.trials),
        **{name: Path(path) if path else None for name, path in files.items()},
        **options,
    )
