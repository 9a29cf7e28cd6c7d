from pathlib import Path

from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.run import Run
from unipool.splits import Memory, SplitCache
from unipool.train import train_together

receipt = Path(snakemake.output.together)
params, machine = snakemake.params, snakemake.config["machine"]
with (
    job_log(snakemake.log[0], f"train_together {'/'.join(receipt.parts[-3:])}"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    runs = [
        Run.of(Path(run["folder"]), run["definition"], run["seed"])
        for run in params.runs
    ]
    train_together(
        runs,
        **{name: SplitCache(**split) for name, split in params.splits.items()},
        valid_trials=Path(snakemake.input.valid_trials),
        device=machine["device"],
        num_threads=snakemake.threads,
        embed_batch_seconds=machine["embed_batch_seconds"],
        memory=Memory(machine["memory_gb"], machine["gpu_memory_gb"]),
        receipt=receipt,
    )
