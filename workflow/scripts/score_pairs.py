from pathlib import Path

from unipool.cell import CellFiles
from unipool.gpus import own_gpus
from unipool.log import job_log
from unipool.score_pairs import score_pairs
from unipool.splits import SplitCache

files = CellFiles(*(Path(file) for file in snakemake.output))
machine, wildcards = snakemake.config["machine"], snakemake.wildcards
definition = snakemake.params.definition
with (
    job_log(snakemake.log[0], f"score_pairs {'/'.join(files.metrics.parts[-6:-2])}"),
    own_gpus(1, machine["device"], machine["jobs_per_gpu"]),
):
    score_pairs(
        run=Path(snakemake.input.model).parent,
        **{
            name: SplitCache(**split) for name, split in snakemake.params.splits.items()
        },
        trials=Path(snakemake.input.trials),
        valid_trials=Path(snakemake.input.valid_trials),
        **definition["metrics"],
        files=files,
        definition=definition,
        key={
            "corpus": wildcards.train_corpus,
            "view": wildcards.train_view.removeprefix("@") or "full",
            "backbone": wildcards.backbone,
            "backend": wildcards.backend,
            "scoring": "pairwise",
            "seed": int(wildcards.seed),
            "trials": wildcards.trials,
        },
        device=machine["device"],
        num_threads=snakemake.threads,
        embed_batch_seconds=machine["embed_batch_seconds"],
    )
