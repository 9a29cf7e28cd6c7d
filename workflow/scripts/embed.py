from pathlib import Path

from unipool.embed import embed
from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.splits import SplitCache

run = Path(snakemake.input.model).parent
split = SplitCache(**snakemake.params.split)
machine = snakemake.config["machine"]
with (
    job_log(snakemake.log[0], f"embed {'/'.join(run.parts[-4:])}"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    embed(
        run=run,
        split=split,
        embeddings=Path(snakemake.output.embeddings),
        device=machine["device"],
        num_threads=snakemake.threads,
        embed_batch_seconds=machine["embed_batch_seconds"],
    )
