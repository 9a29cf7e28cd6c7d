from pathlib import Path

from unipool.fetch import fetch_backbone
from unipool.log import job_log

with job_log(snakemake.log[0], f"fetch_backbone {snakemake.wildcards.backbone}"):
    fetch_backbone(
        folder=Path(snakemake.output.facts).parent, **snakemake.params.source
    )
