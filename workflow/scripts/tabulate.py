from pathlib import Path

from unipool.log import job_log
from unipool.tabulate import tabulate

with job_log(snakemake.log[0], "tabulate"):
    tabulate(
        metrics=[Path(file) for file in snakemake.input.metrics],
        table=Path(snakemake.output.table),
        markdown=Path(snakemake.output.markdown),
    )
