# ruff: noqa: E402  (torch takes seconds to import, and is not always needed)
import sys
from pathlib import Path

from unipool.ahead import take
from unipool.log import job_log

run = Path(snakemake.output.model).parent
definition, machine = snakemake.params.definition, snakemake.params.machine
job, processes = f"train {'/'.join(run.parts[-4:])}", snakemake.params.processes
if snakemake.input.together:
    with job_log(snakemake.log[0], job):
        if take(run, definition, trained_by=snakemake.input.together):
            sys.exit()

from unipool.distributed import joined, launch, launched
from unipool.gpus import own_gpus
from unipool.run import Run, Training
from unipool.splits import Memory, SplitCache
from unipool.train import train

backend, training = definition["backend"], Training(**definition["train"])
seed, start = int(snakemake.wildcards.seed), snakemake.input.start
gpus = own_gpus(processes, machine["device"], machine["jobs_per_gpu"])
if processes > 1 and not launched():
    with gpus:
        launch(sys.argv[0], processes)  # this script again, in each of them
    sys.exit()
with joined() as world:
    log = snakemake.log[0] + (f".rank-{world.rank}" if world.rank else "")
    with job_log(log, job), gpus:
        train(
            Run(run, backend["kind"], backend["options"], training, seed, definition),
            train_split=SplitCache(**snakemake.params.train_split),
            valid_split=SplitCache(**snakemake.params.valid_split),
            valid_trials=Path(snakemake.input.valid_trials),
            device=machine["device"],
            num_threads=max(1, snakemake.threads // processes),
            embed_batch_seconds=machine["embed_batch_seconds"],
            memory=Memory(machine["memory_gb"], machine["gpu_memory_gb"]),
            start=Path(start).parent if start else None,
            world=world,
        )
