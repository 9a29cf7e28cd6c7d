from pathlib import Path

from unipool.log import job_log
from unipool.prepare import prepare_corpus

with job_log(snakemake.log[0], f"prepare_corpus {snakemake.wildcards.corpus}"):
    prepare_corpus(
        kind=snakemake.params.kind,
        options=snakemake.params.options,
        split=snakemake.params.split,
        speakers=Path(snakemake.input.speakers) if snakemake.input.speakers else None,
        check=snakemake.params.check,
        bad_audio=snakemake.params.bad_audio,
        incomplete=snakemake.params.incomplete,
        min_seconds=snakemake.params.min_seconds,
        manifest=Path(snakemake.output.manifest),
        excluded=Path(snakemake.output.excluded),
        recordings=Path(snakemake.output.manifest).with_name("recordings.csv"),
        num_workers=snakemake.threads,
    )
