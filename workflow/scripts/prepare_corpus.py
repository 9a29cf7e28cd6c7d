from pathlib import Path

from unipool.log import job_log
from unipool.prepare import prepare_corpus

with job_log(snakemake.log[0], f"prepare_corpus {snakemake.wildcards.corpus}"):
    prepare_corpus(
        kind=snakemake.params.kind,
        options=snakemake.params.options,
        split=snakemake.params.split,
        bad_audio=snakemake.params.bad_audio,
        min_seconds=snakemake.params.min_seconds,
        manifest=Path(snakemake.output.manifest),
        excluded=Path(snakemake.output.excluded),
        num_workers=snakemake.threads,
    )
