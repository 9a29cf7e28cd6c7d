"""Build each backend of the grid for its backbone, before any of it is made."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from workflow.starting import first_of


def unfit_pairs(config: dict[str, Any]) -> Iterator[str]:
    """List backends that cannot be built on a backbone of the grid, and why, once.

    Nothing is known beforehand of encoders from the Hugging Face hub or from a folder:
    their own job says it. Of a backend that fine-tunes an encoder, what is built is the
    one on its hidden states, if there is one.
    """
    # Here, not above: torch takes seconds to import, and only planning needs this.
    import torch

    from unipool.backends import BACKENDS

    pairs = {
        (backend, backbone)
        for block in config["grid"]
        for backend in block["backends"]
        for backbone in block["backbones"]
    }
    told = set()
    for backend, backbone in sorted(pairs):
        # What starts from another's run is built as that is.
        first = first_of(config["backends"], backend)
        part = _part_on_layers(config, first, backbone)
        if first in told or part is None or part.sizes is None:
            continue
        layers, hidden_size = part.sizes
        wanted = layers if part.layers is None else part.layers
        if unknown := sorted(set(wanted) - set(layers)):
            told.add(first)
            yield (
                f"backends.{first}.layers: {part.on} has no layer {unknown[0]} in its"
                f" cache, which has {', '.join(map(str, layers))}"
            )
            continue
        try:
            with torch.device("meta"):  # no weights are made
                built = BACKENDS[part.kind](len(wanted), hidden_size, **part.options)
                sizes_of_loss = _sizes_of_loss(config, backend, built.embedding_size)
        except ValueError as error:
            told.add(first)
            yield f"{part.where}: on {part.on}, {error}"
            continue
        start = config["backends"][backend].get("start")
        if start is not None and sizes_of_loss != _sizes_of_loss(
            config, start, built.embedding_size
        ):
            yield (
                f"backends.{backend}.train: the weights of its loss are others than of"
                f" {start!r}, from whose run it starts; give both the same loss, with"
                " as many heads or sub-centres"
            )


def _sizes_of_loss(
    config: dict[str, Any], backend: str, embedding_size: int
) -> dict[str, tuple[int, ...]]:
    import torch

    from unipool.losses import LOSSES

    training = config["train"] | config["backends"][backend]["train"]
    with torch.device("meta"):
        loss = LOSSES[training["loss"]](embedding_size, 2, **training["loss_options"])
    return {name: tuple(some.shape) for name, some in loss.state_dict().items()}


class Part(NamedTuple):
    """What reads hidden states: a backend, or the one on an encoder it fine-tunes."""

    where: str
    on: str
    sizes: tuple[list[int], int] | None
    kind: str
    options: dict[str, Any]
    layers: list[int] | None


def _part_on_layers(config: dict[str, Any], backend: str, backbone: str) -> Part | None:
    entry, where = config["backends"][backend], f"backends.{backend}.options"
    options = entry.get("options", {})
    if "encoder" not in options:
        sizes = _sizes_of(config["backbones"][backbone])
        return Part(where, backbone, sizes, entry["kind"], options, entry.get("layers"))
    if "backend" not in options:
        return None
    encoder = config["backbones"][options["encoder"]]
    return Part(
        where=f"{where}.backend_options",
        on=options["encoder"],
        sizes=_sizes_of(encoder | {"cache": {}}),  # all layers, whatever is cached
        kind=options["backend"],
        options=options.get("backend_options") or {},
        layers=None,
    )


def _sizes_of(backbone: dict[str, Any]) -> tuple[list[int], int] | None:
    """Give the layers that are cached, and the size of a hidden state, if known."""
    if "features" in backbone:
        import torch

        from unipool.backbone import FEATURES

        features = FEATURES[backbone["features"]]
        built = features(torch.device("cpu"), **backbone.get("options", {}))
        return [0], built.hidden_size
    sizes = backbone.get("config", {})
    if not {"hidden_size", "num_hidden_layers"} <= sizes.keys():
        return None
    every = list(range(sizes["num_hidden_layers"] + 1))
    return backbone.get("cache", {}).get("layers", every), sizes["hidden_size"]
