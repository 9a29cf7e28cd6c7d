from pathlib import Path

from unipool.cell import CellFiles
from unipool.fuse import fuse
from unipool.log import job_log

given = snakemake.input
files = CellFiles(*(Path(file) for file in snakemake.output))
cells = zip(given.scores, given.metrics, given.draws, strict=True)
with job_log(snakemake.log[0], f"fuse {'/'.join(files.metrics.parts[-6:-2])}"):
    fuse(
        cells=[CellFiles(*map(Path, cell)) for cell in cells],
        valid_scores=[Path(file) for file in given.valid_scores],
        trials=Path(given.trials),
        manifest=Path(given.manifest),
        p_targets=snakemake.params.p_targets,
        draws=snakemake.params.draws,
        files=files,
        key={
            "corpus": snakemake.wildcards.train_corpus,
            "view": snakemake.wildcards.train_view.removeprefix("@") or "full",
            "backbone": "fused",
            "backend": snakemake.wildcards.fusion,
            "scoring": "fused",
            "seed": int(snakemake.wildcards.seed),
            "trials": snakemake.wildcards.trials,
        },
    )
