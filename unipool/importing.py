"""Make a run of a checkpoint that the published code wrote."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unipool.backends.published import (
    PUBLISHED,
    from_published,
    published_kind,
    sizes_of_published,
)
from unipool.checkpoint import write_checkpoint
from unipool.provenance import versions

READ_ONLY = 0o444
"""Snakemake does not write over it, nor delete it, when `train` is forced."""

HISTORY = ("step", "loss", "learning_rate", "valid_eer")

_ARRAY, _NUMBER = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
OF_ARRAYS: list[Any] = [
    (_ARRAY, "numpy.core.multiarray._reconstruct"),
    (_NUMBER, "numpy.core.multiarray.scalar"),
    *(_ARRAY, _NUMBER, np.ndarray, np.dtype),
    *(type(np.dtype(name)) for name in ("u4", "i8", "f4", "f8")),
]
"""What arrays and numbers of numpy are read with, under their names then and now: the
published trainer keeps its random state and its threshold beside the weights."""


def import_published(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Read an authors' checkpoint, and write what a training would have.

    Nothing of it is executed: it is read with ``weights_only``.

    Args:
        checkpoint: a dict with ``model_state`` (``model_best.pt`` of UniPool, L-TDNN),
            or that state itself (``model.state`` of LAP).
        folder: of the run.

    Returns:
        What ``model.json`` says.

    Reads: ``checkpoint``.
    Writes: ``model.safetensors``, ``model.json``, and a ``history.csv`` without rows,
    in ``folder``, all read-only.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint of the published code.
    """
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint}: there is no such file")
    try:
        with torch.serialization.safe_globals(OF_ARRAYS):
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{checkpoint}: not a file of tensors ({type(error).__name__}); name what"
            " the published code wrote, model_best.pt (UniPool, L-TDNN) or model.state"
            " (LAP)"
        ) from error
    state = content.get("model_state", content) if isinstance(content, dict) else {}
    state = {name: value for name, value in state.items() if torch.is_tensor(value)}
    try:
        name = published_kind(state)
        num_layers, hidden_size, options = sizes_of_published(name, state)
        backend = from_published(name, state)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    # Of the loss: (heads, E, speakers); of LAP (sub-centres, E, speakers).
    of_loss = state.get("aam_softmax.weight", torch.ones(1, 1, 0))
    num_weights, _, num_speakers = of_loss.shape
    info = {
        "kind": PUBLISHED[name].kind,
        "options": options,
        "num_layers": num_layers,
        "layers": list(range(num_layers)),
        "hidden_size": hidden_size,
        "loss_heads": 1 if name == "lap" else num_weights,
        "num_speakers": num_speakers,
        "backend_parameters": sum(p.numel() for p in backend.parameters()),
        "train_seconds": 0.0,
        "caches": {},
        "definition": {"imported": checkpoint.name},
        "versions": versions(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.csv").unlink(missing_ok=True)  # a read-only one
    (folder / "history.csv").write_text(",".join(HISTORY) + "\n", encoding="utf-8")
    write_checkpoint(folder, backend.state_dict(), info)
    for name in ("model.safetensors", "model.json", "history.csv"):
        (folder / name).chmod(READ_ONLY)
    return info
