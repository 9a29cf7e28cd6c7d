from pathlib import Path

from unipool.log import job_log
from unipool.splits import Memory, SplitCache
from unipool.train import Training, train

run = Path(snakemake.output.model).parent
definition = snakemake.params.definition
machine = snakemake.params.machine
with job_log(snakemake.log[0], f"train {'/'.join(run.parts[-4:])}"):
    train(
        run=run,
        train_split=SplitCache(**snakemake.params.train_split),
        valid_split=SplitCache(**snakemake.params.valid_split),
        valid_trials=Path(snakemake.input.valid_trials),
        kind=definition["backend"]["kind"],
        options=definition["backend"]["options"],
        training=Training(**definition["train"]),
        seed=int(snakemake.wildcards.seed),
        definition=definition,
        device=machine["device"],
        num_threads=snakemake.threads,
        embed_batch_seconds=machine["embed_batch_seconds"],
        memory=Memory(machine["memory_gb"], machine["gpu_memory_gb"]),
        start=Path(snakemake.input.start).parent if snakemake.input.start else None,
    )
