"""The authors' checkpoints, as backends of ours.

Source: the published code of UniPool and L-TDNN (GitHub sadPororo/UniPool-SV and
sadPororo/L-TDNN), whose ``model_best.pt`` holds a ``model_state``, and of LAP
(sadPororo/LAP), whose ``model.state`` is one. Both hold the encoder and the loss, too.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unipool.backends import BACKENDS
from unipool.backends.published_names import (
    LAP,
    LTDNN_D3NET,
    LTDNN_ECAPA,
    UNIPOOL,
    Names,
)

NOT_OF_BACKEND = ("backbone.", "frontend.", "aam_softmax.", "span_mask_kernel")
"""What the names begin with of the encoder, the loss, and a constant of span-out."""


class Sizes(NamedTuple):
    """What a backend is built with: the sizes of the encoder, and its own options."""

    num_layers: int
    hidden_size: int
    options: dict[str, Any]


def _unipool_sizes(state: Mapping[str, Tensor]) -> Sizes:
    of_gates = [n for n in state if re.fullmatch(r".*\.vadnet\.\d+\.weight", n)]
    num_heads, num_layers, _ = state["encoder.l_pool.W1"].shape
    return Sizes(
        num_layers + 1,  # with layer 0, which the backend leaves out
        state["encoder.d3net.projection.0.weight"].shape[1],
        {
            "conv_dim": len(state["encoder.d3net.densenet.0.m.0.projection.weight"]),
            "num_blocks": len(of_gates),
            "layer_pool_heads": num_heads,
            "embedding_size": len(state["encoder.t_pool.out_proj.weight"]),
        },
    )


def _ltdnn_sizes(state: Mapping[str, Tensor]) -> Sizes:
    num_heads, num_layers, _ = state["encoder.l_pool.W1"].shape
    return Sizes(
        num_layers,
        len(state["encoder.net.in_conv.0.weight"]),
        {
            "conv_dim": len(state["encoder.net.in_conv.1.conv.weight"]),
            "layer_pool_size": len(state["encoder.l_pool.in_projection.1.weight"]),
            "layer_pool_heads": num_heads,
            "embedding_size": len(state["encoder.t_pool.out_proj.weight"]),
        },
    )


def _lap_sizes(state: Mapping[str, Tensor]) -> Sizes:
    num_heads, num_layers, _ = state["backend.layer_aggregation.sq_weight"].shape
    return Sizes(
        num_layers,
        len(state["backend.layer_aggregation.in_norm.weight"]),
        {
            "layer_pool_size": len(state["backend.layer_aggregation.out_norm.weight"]),
            "layer_pool_heads": num_heads,
            "embedding_size": len(state["backend.speaker_network.emb_weight.weight"]),
        },
    )


class Published(NamedTuple):
    """A backend whose authors' checkpoints can be read.

    Args:
        kind: name in ``BACKENDS``.
        names: of its parts.
        sizes: infers them from the tensors.
        mark: a name that only its checkpoints have.
    """

    kind: str
    names: Names
    sizes: Callable[[Mapping[str, Tensor]], Sizes]
    mark: str


PUBLISHED = {
    "unipool": Published("unipool", UNIPOOL, _unipool_sizes, "encoder.d3net."),
    "ltdnn-ecapa": Published(
        "ltdnn-ecapa", LTDNN_ECAPA, _ltdnn_sizes, "encoder.net.block1.se_res2block."
    ),
    "ltdnn-d3net": Published(
        "ltdnn-d3net", LTDNN_D3NET, _ltdnn_sizes, "encoder.net.se_d2blocks."
    ),
    "lap": Published("lap-astp", LAP, _lap_sizes, "backend.layer_aggregation.sq_"),
}


def published_kind(state: Mapping[str, Tensor]) -> str:
    """Tell by its names of which backend a checkpoint is.

    Raises:
        ValueError: when it is of none that is known.
    """
    for name, published in PUBLISHED.items():
        if any(key.startswith(published.mark) for key in state):
            return name
    raise ValueError(
        f"none of its {len(state)} tensors ({', '.join(list(state)[:3])}, ...) has a"
        f" name of a published backend; known are {', '.join(PUBLISHED)}"
    )


def sizes_of_published(backend: str, state: Mapping[str, Tensor]) -> Sizes:
    """Infer the sizes of a backend from the authors' tensors.

    Raises:
        ValueError: when a tensor is missing.
    """
    try:
        return PUBLISHED[backend].sizes(state)
    except KeyError as error:
        raise ValueError(
            f"the checkpoint has no tensor {error}, which a {backend} has"
        ) from error


def from_published(backend: str, state: Mapping[str, Tensor]) -> nn.Module:
    """Build a backend from the authors' tensors.

    Args:
        backend: ``unipool``, ``ltdnn-ecapa``, ``ltdnn-d3net`` or ``lap``.
        state: the checkpoint's ``model_state``; what is not the backend's (the encoder,
            the loss) is left alone.

    Returns:
        The backend in evaluation mode; it takes the hidden states of all layers, layer
        0 included.

    Raises:
        ValueError: when a tensor is missing, unknown, or of another size.
    """
    kind, names, *_ = PUBLISHED[backend]
    num_layers, hidden_size, options = sizes_of_published(backend, state)
    module = BACKENDS[kind](num_layers, hidden_size, **options)
    ours = module.state_dict()
    given = _renamed(_joined_mixing(dict(state)), names)
    wrong = sorted(set(ours) ^ set(given)) or [
        name for name in ours if ours[name].numel() != given[name].numel()
    ]
    if wrong:
        raise ValueError(
            f"{len(wrong)} tensors do not fit a {backend}, {wrong[0]} the first; is the"
            " checkpoint one of the published code?"
        )
    module.load_state_dict({n: given[n].view_as(ours[n]) for n in ours})
    return module.eval()


def _joined_mixing(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make one matrix of the vectors by which each target layer mixes all layers."""
    vector = re.compile(r"(.*\.vadnet\.\d+)\.superb\.(\d+)\.score_vector")
    rows: dict[str, dict[int, Tensor]] = {}
    for name in list(state):
        if match := vector.fullmatch(name):
            rows.setdefault(match[1], {})[int(match[2])] = state.pop(name)
    for gate, of_layer in rows.items():
        matrix = torch.stack([of_layer[layer] for layer in sorted(of_layer)])
        state[f"{gate}.mixing_logits"] = matrix
    return state


def _renamed(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    patterns = [
        (
            re.compile(re.escape(old).replace(r"\{\}", r"(\d+)") + r"(\.\w+)?"),
            new,
            int("block{}" in old),  # ECAPA's blocks are counted from 1
        )
        for old, new in names.items()
    ]
    renamed = {}
    for name, tensor in state.items():
        if name.startswith(NOT_OF_BACKEND):
            continue
        for pattern, new, first in patterns:
            if match := pattern.fullmatch(name):
                *numbers, leaf = match.groups()
                if numbers:
                    numbers[0] = str(int(numbers[0]) - first)
                renamed[new.format(*numbers) + (leaf or "")] = tensor
                break
        else:
            renamed[name] = tensor  # told as one that does not fit
    return renamed
