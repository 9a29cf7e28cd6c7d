from pathlib import Path

from unipool.fetch import fetch_list
from unipool.log import job_log

with job_log(snakemake.log[0], f"fetch_list {snakemake.wildcards.list}"):
    fetch_list(
        url=snakemake.params.url,
        checksum=snakemake.params.checksum,
        file=Path(snakemake.output.list),
    )
