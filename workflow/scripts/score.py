from pathlib import Path

from unipool.cell import CellFiles
from unipool.log import job_log
from unipool.score import score

files = CellFiles(*(Path(file) for file in snakemake.output))
cohort = snakemake.input.get("cohort")
with job_log(snakemake.log[0], f"score {'/'.join(files.metrics.parts[-6:-2])}"):
    score(
        embeddings=Path(snakemake.input.embeddings),
        trials=Path(snakemake.input.trials),
        valid_embeddings=Path(snakemake.input.valid_embeddings),
        valid_trials=Path(snakemake.input.valid_trials),
        cohort=Path(cohort) if cohort else None,
        scoring=snakemake.params.scoring,
        **snakemake.params.metrics,
        files=files,
        key={
            "corpus": snakemake.wildcards.train_corpus,
            "view": snakemake.wildcards.train_view.removeprefix("@") or "full",
            "backbone": snakemake.wildcards.backbone,
            "backend": snakemake.wildcards.backend,
            "scoring": snakemake.wildcards.scoring.removeprefix("@") or "cosine",
            "seed": int(snakemake.wildcards.seed),
            "trials": snakemake.wildcards.trials,
        },
    )
