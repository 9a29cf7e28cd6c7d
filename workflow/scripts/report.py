from pathlib import Path

from unipool.log import job_log
from unipool.report import report

with job_log(snakemake.log[0], "report"):
    report(
        table=Path(snakemake.input.table),
        systems=Path(snakemake.input.systems),
        comparisons=Path(snakemake.input.comparisons),
        conditions=Path(snakemake.input.conditions),
        runs=[Path(folder) for folder in snakemake.params.runs],
        embeddings=[Path(file) for file in snakemake.input.embeddings],
        probes=[Path(file) for file in snakemake.input.probes],
        maps=[Path(file) for file in snakemake.input.maps],
        logs=Path(snakemake.params.logs),
        html=Path(snakemake.output.html),
        plots=Path(snakemake.output.plots[0]).parent,
    )
