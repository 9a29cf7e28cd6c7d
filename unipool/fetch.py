"""Put a backbone into the project: downloaded, copied, or made with random weights."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from unipool.backbone import (
    Backbone,
    copy_backbone,
    download_backbone,
    make_backbone,
)
from unipool.cache import LAYER_MEANING

UNIMPORTANT_KEYS = ("transformers_version", "_name_or_path", "architectures", "dtype")
"""Of config.json: they say who wrote it, and do not change a hidden state."""


def fetch_backbone(
    *,
    folder: Path,
    model: str | None = None,
    revision: str | None = None,
    path: str | None = None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
    normalize: str = "checkpoint",
    dtype: str = "float32",
) -> None:
    """Save an encoder as a Hugging Face folder and record what it is.

    Args:
        folder: where it goes.
        model: name on the Hugging Face hub; or
        path: of a Hugging Face folder; or
        config: ``model_type`` and keys of its config, for random weights.
        revision: of ``model``: commit, branch or tag.
        seed: of the random weights.
        normalize: ``checkpoint`` or ``none``, see ``Backbone``.
        dtype: in which to compute: ``float32``, ``float16`` or ``bfloat16``.

    Writes: the folder's config.json, model.safetensors, preprocessor_config.json, and
        last backbone.json: where it comes from, its sizes, and ``sha256`` over all
        that decides its hidden states.

    Raises:
        ValueError: when it cannot be had or is not an encoder of waveforms.
    """
    folder.mkdir(parents=True, exist_ok=True)
    commit = None
    if config is not None:
        make_backbone(folder, config=config, seed=seed)
    elif path is not None:
        copy_backbone(folder, Path(path))
    else:
        assert model is not None
        downloaded = download_backbone(model, revision)
        copy_backbone(folder, downloaded)
        commit = downloaded.name
    encoder = Backbone(
        folder,
        device=torch.device("cpu"),
        dtype=getattr(torch, dtype),
        normalize=normalize,
    )
    facts = {
        "source": model or path or f"random weights, seed {seed}",
        "commit": commit,
        "normalize": normalize,
        "dtype": dtype,
        "num_layers": encoder.num_layers,
        "hidden_size": encoder.hidden_size,
        "frame_shift": encoder.frame_shift,
        "receptive_field": encoder.receptive_field,
        "parameters": encoder.num_parameters,
        "sha256": _sha256(folder, normalize, dtype),
    }
    partial = folder / "backbone.json.partial"
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "backbone.json")


def _sha256(folder: Path, normalize: str, dtype: str) -> str:
    content = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    extractor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    decisive = {k: v for k, v in settings.items() if k not in UNIMPORTANT_KEYS}
    facts = [decisive, extractor["do_normalize"], normalize, dtype, LAYER_MEANING]
    content.update(json.dumps(facts, sort_keys=True).encode())
    return content.hexdigest()
