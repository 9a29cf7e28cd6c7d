"""What is known of a backbone: ``backbone.json`` in its folder."""

import json
from pathlib import Path
from typing import Any

NEEDED = (
    *("sha256", "layers", "hidden_size", "num_layers", "cache_dtype"),
    *("frame_shift", "min_samples", "parameters"),
)


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
        missing = [name for name in NEEDED if name not in facts]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: damaged ({error}); have it made again") from error
    if missing:
        raise ValueError(f"{file}: has no {missing[0]}; have it made again")
    return facts
