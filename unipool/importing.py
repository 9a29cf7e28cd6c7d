"""Make a run of a checkpoint that the published code wrote."""

import pickle
from pathlib import Path
from typing import Any

import torch

from unipool.backends.published import (
    PUBLISHED,
    from_published,
    published_kind,
    sizes_of_published,
)
from unipool.checkpoint import write_checkpoint
from unipool.provenance import versions


def import_published(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Read an authors' ``model_best.pt``, and write what a training would have.

    Nothing of it is executed: it is read with ``weights_only``.

    Args:
        checkpoint: a dict with ``model_state``, or that state itself.
        folder: of the run.

    Returns:
        What ``model.json`` says.

    Reads: ``checkpoint``.
    Writes: ``model.safetensors`` and ``model.json`` in ``folder``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint of the published code.
    """
    if not checkpoint.exists():
        raise FileNotFoundError(f"{checkpoint}: there is no such file")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{checkpoint}: not a file of tensors ({type(error).__name__}); name the"
            " model_best.pt that the published code wrote"
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
    write_checkpoint(folder, backend.state_dict(), info)
    return info
