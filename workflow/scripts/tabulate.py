from pathlib import Path

from unipool.log import job_log
from unipool.tabulate import tabulate

with job_log(snakemake.log[0], "tabulate"):
    tabulate(
        metrics=[Path(file) for file in snakemake.input.metrics],
        **{name: Path(file) for name, file in snakemake.output.items()},
    )
