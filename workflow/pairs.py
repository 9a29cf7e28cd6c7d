"""Build each backend of the grid for its backbone, before any of it is made."""

from collections.abc import Iterator
from typing import Any


def unfit_pairs(config: dict[str, Any]) -> Iterator[str]:
    """List backends that cannot be built on a backbone of the grid, and why, once.

    Nothing is known beforehand of encoders from the Hugging Face hub or from a folder,
    nor of those that a backend fine-tunes: their own job says it.
    """
    # Here, not above: torch takes seconds to import, and only planning needs this.
    import torch

    from unipool.backends import BACKENDS
    from unipool.losses import LOSSES

    pairs = {
        (backend, backbone)
        for block in config["grid"]
        for backend in block["backends"]
        for backbone in block["backbones"]
    }
    told = set()
    for backend, backbone in sorted(pairs):
        entry, where = config["backends"][backend], f"backends.{backend}"
        sizes = _sizes_of(config["backbones"][backbone])
        is_fetched_later = "encoder" in entry.get("options", {})
        if backend in told or sizes is None or is_fetched_later:
            continue
        layers, hidden_size = sizes
        wanted = entry.get("layers", layers)
        if unknown := sorted(set(wanted) - set(layers)):
            told.add(backend)
            yield (
                f"{where}.layers: {backbone} has no layer {unknown[0]} in its cache,"
                f" which has {', '.join(map(str, layers))}"
            )
            continue
        training = config["train"] | entry.get("train", {})
        try:
            with torch.device("meta"):  # no weights are made
                built = BACKENDS[entry["kind"]](
                    len(wanted), hidden_size, **entry.get("options", {})
                )
                LOSSES[training["loss"]](
                    built.embedding_size, 2, **training["loss_options"]
                )
        except ValueError as error:
            told.add(backend)
            yield f"{where}.options: on {backbone}, {error}"


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
