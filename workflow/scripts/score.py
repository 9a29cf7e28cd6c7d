from pathlib import Path

from unipool.log import job_log
from unipool.score import score

metrics = Path(snakemake.output.metrics)
with job_log(snakemake.log[0], f"score {'/'.join(metrics.parts[-6:-2])}"):
    score(
        embeddings=Path(snakemake.input.embeddings),
        trials=Path(snakemake.input.trials),
        manifest=Path(snakemake.input.manifest),
        scores=Path(snakemake.output.scores),
        metrics=metrics,
        key={
            "corpus": snakemake.wildcards.train_corpus,
            "view": snakemake.wildcards.train_view.removeprefix("@") or "full",
            "backbone": snakemake.wildcards.backbone,
            "backend": snakemake.wildcards.backend,
            "seed": int(snakemake.wildcards.seed),
            "trials": snakemake.wildcards.trials,
        },
    )
