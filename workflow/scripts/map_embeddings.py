from pathlib import Path

from unipool.log import job_log
from unipool.mapping import map_embeddings

out = Path(snakemake.output.map)
name = "/".join([*out.parts[-6:-2], out.stem])
with job_log(snakemake.log[0], f"map_embeddings {name}"):
    map_embeddings(
        embeddings=Path(snakemake.input.embeddings),
        manifest=Path(snakemake.input.manifest),
        out=out,
    )
