"""Where a training starts that goes on from the run of another."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from unipool.checkpoint import read_checkpoint, read_loss

logger = logging.getLogger(__name__)


class Start(NamedTuple):
    """The run that a training starts from.

    Args:
        run: its folder.
        weights_sha256: of its backend's weights.
        loss_sha256: of its loss's; None where the loss began anew.
        train_seconds: that it took, with those that it started from itself.
        train_memory_bytes: the most that any of them needed; None where it is not
            known.
    """

    run: str
    weights_sha256: str
    loss_sha256: str | None
    train_seconds: float
    train_memory_bytes: int | None


def start_from(
    run: Path,
    *,
    kind: str,
    backend: nn.Module,
    loss: nn.Module,
) -> Start:
    """Put the best weights of another run into a backend and its loss.

    Where the run has none of its loss, since it was imported or is older than they are
    kept, the loss begins anew, which the log and ``model.json`` say.

    Args:
        run: folder of the other run.
        kind: of the backend.
        backend: whose weights become those of the run.
        loss: alike.

    Raises:
        FileNotFoundError: when that run has not been trained to its end.
        ValueError: when its backend or its loss has other weights.
    """
    weights, info = read_checkpoint(run)
    if info["kind"] != kind or _shapes(weights) != _shapes(backend.state_dict()):
        raise ValueError(
            f"{run}: a {info['kind']} with {info['options']}, on {info['num_layers']}"
            f" layers of size {info['hidden_size']}, has other weights than the {kind}"
            " that is to start from it; give both the same kind, options and layers"
        )
    backend.load_state_dict(weights)
    of_loss = read_loss(run)
    if of_loss is None:
        logger.warning("%s keeps no weights of its loss; the loss begins anew", run)
    elif _shapes(of_loss) != _shapes(loss.state_dict()):
        raise ValueError(
            f"{run}: its loss has weights {_spell(of_loss)}, that of what starts from"
            f" it {_spell(loss.state_dict())}; give both the same train.loss, with as"
            " many heads or sub-centres, and the same training speakers"
        )
    else:
        loss.load_state_dict(of_loss)
    return Start(
        run=run.as_posix(),
        weights_sha256=_digest(run / "model.safetensors"),
        loss_sha256=None if of_loss is None else _digest(run / "loss.safetensors"),
        train_seconds=info["train_seconds"],
        train_memory_bytes=info.get("train_memory_bytes"),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _spell(weights: Mapping[str, Tensor]) -> str:
    return ", ".join(
        f"{name} {list(shape)}" for name, shape in _shapes(weights).items()
    )
