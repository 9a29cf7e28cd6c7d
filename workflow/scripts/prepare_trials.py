from pathlib import Path

from unipool.log import job_log
from unipool.prepare import prepare_trials

with job_log(snakemake.log[0], f"prepare_trials {snakemake.wildcards.trials}"):
    prepare_trials(
        manifest=Path(snakemake.input.manifest),
        split=snakemake.params.split,
        trials=Path(snakemake.output.trials),
        file=Path(snakemake.input.file) if snakemake.input.file else None,
        num_targets=snakemake.params.num_targets,
        seed=snakemake.params.seed,
    )
