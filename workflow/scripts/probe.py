from pathlib import Path

from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.probe import probe
from unipool.splits import SplitCache

out = Path(snakemake.output.probe)
machine = snakemake.config["machine"]
with (
    job_log(snakemake.log[0], f"probe {'/'.join(out.with_suffix('').parts[-3:])}"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    probe(
        valid_split=SplitCache(**snakemake.params.valid_split),
        test_split=SplitCache(**snakemake.params.test_split),
        trials=Path(snakemake.input.trials),
        out=out,
        described=Path(snakemake.output.described),
        definition=snakemake.params.definition,
        device=machine["device"],
        num_threads=snakemake.threads,
    )
