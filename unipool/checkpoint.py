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
``num_layers``, ``hidden_size``, ``layers`` (their numbers in the encoder) and
``loss_heads`` (vectors that an embedding is made of). A reader MUST refuse another
format or version. Everything else in it is provenance, costs and settings.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = "unipool-checkpoint"
VERSION = 1

NEEDED = ("kind", "options", "num_layers", "layers", "hidden_size", "loss_heads")
"""What model.json must hold, to be built and used."""


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


def read_info(folder: Path) -> dict[str, Any]:
    """Read the description of a run alone.

    Raises:
        FileNotFoundError: when the run has not been trained to its end.
        ValueError: when it is of another format or version, or damaged.
    """
    path = folder / "model.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder}: no model.json, so no finished run; train it with"
            f" `snakemake --cores all {path}`"
        )
    try:
        info = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise _damaged(path, error) from error
    found = (info.get("format"), info.get("version"))
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{path}: format {found[0]} version {found[1]}, this unipool reads"
            f" {FORMAT} version {VERSION}; train the run again with this unipool"
        )
    for name in NEEDED:
        if name not in info:
            raise _damaged(path, f"no {name}")
    return info


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a run's weights and description.

    Raises:
        FileNotFoundError: when the run has not been trained to its end.
        ValueError: when it is of another format or version, or damaged.
    """
    info, weights = read_info(folder), folder / "model.safetensors"
    try:
        return Checkpoint(load_file(weights), info)
    except (SafetensorError, FileNotFoundError) as error:
        raise _damaged(weights, error) from error


def _damaged(file: Path, what: Exception | str) -> ValueError:
    return ValueError(f"{file}: damaged ({what}); remove it, and train the run again")


def stop_at_other_backbone(
    run: Path, info: dict[str, Any], backbone: Path, facts: dict[str, Any]
) -> None:
    """Hold a backbone against the one that a run takes the hidden states of.

    Older runs and imported ones do not say more of it than its layers and size. What
    fine-tunes an encoder is held against the folder of that, too.

    Args:
        run: its folder.
        info: its ``model.json``.
        backbone: its folder.
        facts: its ``backbone.json``.

    Raises:
        FileNotFoundError: when the folder of the encoder is not there.
        ValueError: when it is another one.
    """
    same = info.get("backbone_sha256", facts["sha256"]) == facts["sha256"]
    fits = set(info["layers"]) <= set(facts["layers"])
    if not (same and fits and info["hidden_size"] == facts["hidden_size"]):
        raise _other(run, backbone)
    if "encoder_sha256" not in info:
        return
    described = Path(info["options"]["encoder"]) / "backbone.json"
    if not described.exists():
        raise FileNotFoundError(
            f"{described}: not there, but the run {run} fine-tunes this encoder; work"
            " in the folder of the project that it is of"
        )
    facts = json.loads(described.read_text(encoding="utf-8"))
    if facts["sha256"] != info["encoder_sha256"]:
        raise _other(run, described.parent)


def _other(run: Path, backbone: Path) -> ValueError:
    return ValueError(
        f"{backbone}: not the backbone that the run {run} was trained on, but another"
        " one or another state of it; embed with that one, or train again"
    )


def is_of(folder: Path, identity: str) -> bool:
    """Say whether a finished run is there, of all that this identity stands for.

    What another node has written since is seen, too: on NFS a name that was looked for
    in vain is believed to be absent for up to a minute, unless its folder is listed.
    """
    there = folder / "model.json" in folder.iterdir()
    return there and read_info(folder).get("identity") == identity


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
