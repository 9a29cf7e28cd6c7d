"""LoRA: a product of two thin matrices is learned beside each of some linear maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

OF_FEED_FORWARD = ("intermediate_dense", "output_dense")
OF_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
"""The linear maps of a transformer block, by their names in transformers."""

USUAL = {
    "wav2vec2": ("q_proj", "v_proj"),
    "hubert": ("q_proj", "v_proj"),
    # Its attention takes the weights out of its maps and never calls them, so that
    # nothing beside them would have an effect.
    "wavlm": OF_FEED_FORWARD,
}
"""The maps of each model type that are adapted where none are named."""


def add_lora(
    model: Any,
    folder: Path,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    targets: Sequence[str] | None,
) -> None:
    """Freeze a model, and put a trainable product beside some of its linear maps.

    The product begins at zero: one of its matrices is drawn, the other zero.

    Args:
        model: of one of the families of ``TrainableEncoder``; changed in place.
        folder: where it is from.
        rank: of the product.
        alpha: over ``rank``, what the product is multiplied by.
        dropout: of what enters the product.
        targets: names of the maps, in all blocks; None: those in ``USUAL``.

    Raises:
        ValueError: when a number has no meaning, or a map cannot be adapted.
    """
    # Here, not above: it takes seconds to import, and few need it.
    from peft import LoraConfig, inject_adapter_in_model

    family = model.config.model_type
    if rank < 1:
        raise ValueError(f"rank is {rank}, it must be at least 1")
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}, it must be above 0")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}, it must be at least 0 and below 1")
    wanted = USUAL[family] if targets is None else tuple(targets)
    possible = (*(OF_ATTENTION if family != "wavlm" else ()), *OF_FEED_FORWARD)
    if not wanted or set(wanted) - set(possible):
        raise ValueError(
            f"targets are {', '.join(wanted) or 'none'}; of {folder}, whose model type"
            f" is {family}, what can be adapted is {', '.join(possible)}"
        )
    inject_adapter_in_model(
        LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # need not be whole
            lora_dropout=dropout,
            target_modules=list(wanted),
        ),
        model,
    )
