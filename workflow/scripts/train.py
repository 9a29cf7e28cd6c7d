import sys
from pathlib import Path

from unipool.ahead import take
from unipool.log import job_log

run = Path(snakemake.output.model).parent
params, machine = snakemake.params, snakemake.config["machine"]
processes = snakemake.config["backends"][snakemake.wildcards.backend]["processes"]
job, start = f"train {'/'.join(run.parts[-4:])}", snakemake.input.start
if snakemake.input.together:
    with job_log(snakemake.log[0], job):
        if take(run, params.definition, receipt=Path(snakemake.input.together)):
            sys.exit()

from unipool.distributed import joined, launch, launched
from unipool.gpus import own_gpus
from unipool.run import Run
from unipool.splits import Memory, SplitCache
from unipool.train import train

gpus = own_gpus(processes, machine["device"], machine["jobs_per_gpu"])
if processes > 1 and not launched():
    with gpus:
        launch(sys.argv[0], processes)  # this script again, in each of them
    sys.exit()
with joined() as world:
    log = snakemake.log[0] + (f".rank-{world.rank}" if world.rank else "")
    with job_log(log, job), gpus:
        train(
            Run.of(run, params.definition, int(snakemake.wildcards.seed)),
            **{name: SplitCache(**split) for name, split in params.splits.items()},
            valid_trials=Path(snakemake.input.valid_trials),
            device=machine["device"],
            num_threads=max(1, snakemake.threads // processes),
            embed_batch_seconds=machine["embed_batch_seconds"],
            memory=Memory(machine["memory_gb"], machine["gpu_memory_gb"]),
            start=Path(start).parent if start else None,
            world=world,
        )
