"""The checkpoint: one trained backend in a run's folder, ready to be built again.

model.safetensors   the weights of the backend (not of the loss)
loss.safetensors    those of the loss at the same step, for a run that starts from this
                    one; not there where a published checkpoint was imported
model.json          how to build it and how it was trained; written last, so a folder
                    with it is whole
history.csv         step, loss, learning_rate, valid_eer: one row for each validation
state.pt            only while training: all that is needed to go on after a kill

model.json MUST hold ``format`` ("unipool-checkpoint"), ``version`` (1), ``kind`` (a
name in ``unipool.backends.BACKENDS``), ``options`` (its keyword arguments),
``num_layers`` and ``hidden_size``. A reader MUST refuse another format or version.
Everything else in it is provenance, costs and settings.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = "unipool-checkpoint"
VERSION = 1


class Checkpoint(NamedTuple):
    """A backend's weights, and what ``model.json`` says of it."""

    weights: dict[str, Tensor]
    info: dict[str, Any]


def write_checkpoint(
    folder: Path,
    weights: dict[str, Tensor],
    info: dict[str, Any],
    *,
    loss: dict[str, Tensor] | None = None,
) -> None:
    """Write the weights, then ``model.json``.

    Writes: ``model.safetensors``, ``model.json`` in ``folder``, and
    ``loss.safetensors`` where the loss's weights are given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_weights(folder / "model.safetensors", weights)
    if loss is None:
        (folder / "loss.safetensors").unlink(missing_ok=True)
    else:
        _write_weights(folder / "loss.safetensors", loss)
    partial = folder / "model.json.partial"
    facts = {"format": FORMAT, "version": VERSION, **info}
    partial.write_text(
        json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    partial.replace(folder / "model.json")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a run's weights and description.

    Raises:
        FileNotFoundError: when the run has not been trained to its end.
        ValueError: when the folder holds another format or version.
    """
    path = folder / "model.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder}: no model.json, so no finished run; train it with"
            f" `snakemake --cores all {path}`"
        )
    info = json.loads(path.read_text(encoding="utf-8"))
    found = (info.get("format"), info.get("version"))
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path}: format {found[0]} version {found[1]}, this unipool reads"
            f" {FORMAT} version {VERSION}; train the run again with this unipool"
        )
    return Checkpoint(load_file(folder / "model.safetensors"), info)


def is_of(folder: Path, identity: str) -> bool:
    """Say whether a finished run is there, of all that this identity stands for.

    What another node has written since is seen, too: on NFS a name that was looked for
    in vain is believed to be absent for up to a minute, unless its folder is listed.
    """
    there = folder / "model.json" in folder.iterdir()
    return there and read_checkpoint(folder).info.get("identity") == identity


def read_loss(folder: Path) -> dict[str, Tensor] | None:
    """Read the weights of a run's loss, None where they were not kept."""
    path = folder / "loss.safetensors"
    return load_file(path) if path.exists() else None


def _write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, partial)
    partial.replace(path)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Keep an unfinished training, replacing the one kept before.

    Writes: ``state.pt`` in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "state.pt.partial"
    torch.save(state, partial)
    partial.replace(folder / "state.pt")


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read an unfinished training, None where there is none."""
    path = folder / "state.pt"
    try:  # the file itself is asked: a job on another node may have removed it
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        return None


def remove_state(folder: Path) -> None:
    """Forget an unfinished training."""
    (folder / "state.pt").unlink(missing_ok=True)
