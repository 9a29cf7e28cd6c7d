from pathlib import Path

from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.plan import PlannedSet, plan

machine = snakemake.config["machine"]
with (
    job_log(snakemake.log[0], "plan"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    plan(
        sets=[PlannedSet(**planned) for planned in snakemake.params.sets],
        cache_dir=Path(snakemake.params.cache_dir),
        table=Path(snakemake.output.table),
        max_batch_seconds=machine["max_batch_seconds"],
        device=machine["device"],
        num_threads=snakemake.threads,
    )
