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


def is_imported(described: Path) -> bool:
    """Say whether a file is there and says that it was made elsewhere."""
    if not described.exists():
        return False
    return "imported" in json.loads(described.read_text("utf-8"))["definition"]


def was_made_with(described: Path, definition: dict[str, Any]) -> bool:
    """Say whether a file is there and says that it was made of these settings."""
    if not described.exists():
        return False
    made_with = json.loads(described.read_text("utf-8"))["definition"]
    return bool(made_with == json.loads(json.dumps(definition)))


def take(run: Path, definition: dict[str, Any], *, receipt: Path) -> bool:
    """Put what was trained ahead in the run's own place.

    Args:
        run: its folder.
        definition: all settings that decide what it becomes.
        receipt: of the job that trained it with others.

    Returns:
        Whether that job brought it to its end, with these settings.

    Writes: the files of a checkpoint in ``run``, and removes them from ``ahead``.
    """
    ahead = run / AHEAD
    trained = json.loads(receipt.read_text("utf-8"))["trained"]
    is_there = was_made_with(ahead / "model.json", definition)
    if not is_there or run.as_posix() not in trained:
        return False
    for name in FILES:
        partial = run / f"{name}.partial"
        shutil.copyfile(ahead / name, partial)
        partial.replace(run / name)
    forget(run)
    logger.info("was trained together with others: %s", receipt)
    return True


def forget(run: Path) -> None:
    """Remove what was trained ahead of a run, whole or not."""
    (run / AHEAD / "model.json").unlink(missing_ok=True)  # the rest is nothing then
    shutil.rmtree(run / AHEAD, ignore_errors=True)
