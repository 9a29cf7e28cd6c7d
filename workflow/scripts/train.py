import sys
from pathlib import Path

from unipool.distributed import joined, launch, launched
from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.splits import Memory, SplitCache
from unipool.train import Training, train

run = Path(snakemake.output.model).parent
definition = snakemake.params.definition
machine = snakemake.params.machine
processes = snakemake.params.processes
gpus = own_gpus(processes, machine["device"], machine["jobs_per_gpu"])
if processes > 1 and not launched():
    with gpus:
        launch(sys.argv[0], processes)  # this script again, in each of them
    sys.exit()
with joined() as world:
    log = snakemake.log[0] + (f".rank-{world.rank}" if world.rank else "")
    with job_log(log, f"train {'/'.join(run.parts[-4:])}"), gpus:
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
            num_threads=max(1, snakemake.threads // processes),
            embed_batch_seconds=machine["embed_batch_seconds"],
            memory=Memory(machine["memory_gb"], machine["gpu_memory_gb"]),
            start=Path(snakemake.input.start).parent if snakemake.input.start else None,
            world=world,
        )
