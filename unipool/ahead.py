"""What is trained of a run before its own job begins, by one that trains several.

It stands in ``ahead``, in the run's folder, since Snakemake deletes what is in the
run's own place when its job begins. Nothing here imports torch: a job that has only to
take it takes no time.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

AHEAD = "ahead"

FILES = ("model.safetensors", "loss.safetensors", "history.csv", "model.json")
"""Of a run; the last says that it is whole."""


def was_made_with(described: Path, definition: dict[str, Any]) -> bool:
    """Say whether a file is there and says that it was made of these settings."""
    if not described.exists():
        return False
    made_with = json.loads(described.read_text("utf-8"))["definition"]
    return bool(made_with == json.loads(json.dumps(definition)))


def take(run: Path, definition: dict[str, Any], *, trained_by: str) -> bool:
    """Put what was trained ahead in the run's own place.

    Args:
        run: its folder.
        definition: all settings that decide what it becomes.
        trained_by: the receipt of what trained it.

    Returns:
        Whether there was something, of these settings.

    Writes: the files of a checkpoint in ``run``, and removes them from ``ahead``.
    """
    ahead = run / AHEAD
    if not was_made_with(ahead / "model.json", definition):
        return False
    for name in FILES:
        shutil.copyfile(ahead / name, run / name)
    shutil.rmtree(ahead)
    logger.info("was trained together with others: %s", trained_by)
    return True
