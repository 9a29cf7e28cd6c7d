"""Put into the project what is published: a backbone, a list.

A backbone is downloaded, copied, or made with random weights.
"""

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
from unipool.download import download

UNIMPORTANT_KEYS = ("transformers_version", "_name_or_path", "architectures", "dtype")
"""Of config.json: they say who wrote it, and do not change a hidden state."""

EXTRACTOR_KEYS = (
    *("do_normalize", "feature_size", "num_mel_bins", "stride", "n_fft"),
    *("hop_length", "chunk_length"),
)
"""Of preprocessor_config.json, those that change a hidden state."""


def fetch_backbone(
    *,
    folder: Path,
    model: str | None = None,
    revision: str | None = None,
    path: str | None = None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
    normalize: str,
    dtype: str,
    window_seconds: float,
    overlap_seconds: float,
    cache: dict[str, Any],
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
        window_seconds: see ``Backbone``.
        overlap_seconds: see ``Backbone``.
        cache: what of the hidden states is kept: ``layers``, by default all, and
            ``dtype``, ``float16`` or ``int8``.

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
    settings = {
        "normalize": normalize,
        "dtype": dtype,
        "window_seconds": window_seconds,
        "overlap_seconds": overlap_seconds,
    }
    encoder = Backbone(
        folder,
        device=torch.device("cpu"),
        **settings | {"dtype": getattr(torch, dtype)},  # type: ignore[arg-type]
    )
    layers = cache.get("layers", list(range(encoder.num_layers)))
    if unknown := sorted(set(layers) - set(range(encoder.num_layers))):
        raise ValueError(
            f"{model or path or folder}: cache.layers asks for layer {unknown[0]}; this"
            f" encoder has 0 to {encoder.num_layers - 1}"
        )
    settings |= {"layers": sorted(layers), "cache_dtype": cache["dtype"]}
    facts = {
        "source": model or path or f"random weights, seed {seed}",
        "commit": commit,
        **settings,
        "num_layers": encoder.num_layers,
        "hidden_size": encoder.hidden_size,
        "frame_shift": encoder.frame_shift,
        "min_samples": encoder.min_samples,
        "parameters": encoder.num_parameters,
        "sha256": _sha256(folder, settings),
    }
    partial = folder / "backbone.json.partial"
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "backbone.json")


def _sha256(folder: Path, settings: dict[str, Any]) -> str:
    content = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    extractor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    decisive = [
        {key: value for key, value in config.items() if key not in UNIMPORTANT_KEYS},
        {key: extractor[key] for key in EXTRACTOR_KEYS if key in extractor},
        settings,
        LAYER_MEANING,
    ]
    content.update(json.dumps(decisive, sort_keys=True).encode())
    return content.hexdigest()


def fetch_list(*, url: str, checksum: str, file: Path) -> None:
    """Download a published list, such as one of trials.

    Without a connection, put it by other means at ``file`` with ``.partial``: there it
    is checked and taken. (What lies at ``file`` itself is removed by Snakemake before
    it calls this.)

    Args:
        url: http, https or file.
        checksum: of the list, ``sha256:...`` or ``md5:...``.
        file: where it goes.

    Reads: ``file`` with ``.partial``, what is there of it.
    Writes: ``file``, last.

    Raises:
        ValueError: when it cannot be had, or has another checksum.
    """
    download(url, checksum=checksum, file=file)
