from pathlib import Path

from unipool.extract import extract
from unipool.log import job_log

receipt = Path(snakemake.output.receipt)
with job_log(snakemake.log[0], f"extract {'/'.join(receipt.parts[-5:])[:-5]}"):
    extract(
        manifest=Path(snakemake.input.manifest),
        split=snakemake.wildcards.split,
        part=int(snakemake.wildcards.part),
        num_parts=int(snakemake.wildcards.num_parts),
        backbone=Path(snakemake.input.backbone).parent,
        store=receipt.with_suffix(".zarr"),
        receipt=receipt,
        view=snakemake.params.view,
        max_batch_seconds=snakemake.params.machine["max_batch_seconds"],
        device=snakemake.params.machine["device"],
        num_threads=snakemake.threads,
    )
