"""What is known of a backbone: ``backbone.json`` in its folder."""

import json
from pathlib import Path
from typing import Any


def read_facts(backbone: Path) -> dict[str, Any]:
    """Read where a backbone comes from, its sizes and settings.

    Args:
        backbone: folder that ``fetch_backbone`` made.

    Raises:
        FileNotFoundError: when there is no such folder, or it was not made to the end.
        ValueError: when the file is damaged.
    """
    file = backbone / "backbone.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{backbone}: no backbone.json, so no backbone; name the folder of one, or"
            " have one of the config made: `snakemake --cores 1"
            " results/backbones/<name>/backbone.json`"
        )
    try:
        facts = dict(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: damaged ({error}); have it made again") from error
    if "sha256" not in facts:
        raise ValueError(f"{file}: has no sha256; have it made again")
    return facts
