from pathlib import Path

from unipool.extract import extract
from unipool.gpus import own_gpus
from unipool.log import job_log

receipt = Path(snakemake.output.receipt)
machine = snakemake.config["machine"]
with (
    job_log(snakemake.log[0], f"extract {'/'.join(receipt.parts[-5:])[:-5]}"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    extract(
        manifest=Path(snakemake.input.manifest),
        split=snakemake.wildcards.split,
        part=int(snakemake.wildcards.part),
        num_parts=int(snakemake.wildcards.num_parts),
        backbone=Path(snakemake.input.backbone).parent,
        store=receipt.with_suffix(".zarr"),
        receipt=receipt,
        view=snakemake.params.view,
        max_batch_seconds=machine["max_batch_seconds"],
        device=machine["device"],
        num_threads=snakemake.threads,
    )
