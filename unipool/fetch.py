"""Put into the project what is published: a backbone, a list.

A backbone is downloaded, copied, made with random weights, or computed as features.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from unipool.backbone import (
    FEATURES,
    Backbone,
    Encoder,
    copy_backbone,
    download_backbone,
    make_backbone,
    options_of,
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

FEATURES_VERSION = 1
"""Raised when other numbers are computed as the same features."""


def fetch_backbone(
    *,
    folder: Path,
    model: str | None = None,
    revision: str | None = None,
    path: str | None = None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
    features: str | None = None,
    options: dict[str, Any] | None = None,
    normalize: str,
    dtype: str,
    window_seconds: float,
    overlap_seconds: float,
    cache: dict[str, Any],
) -> None:
    """Save an encoder as a Hugging Face folder, if it is one, and record what it is.

    Args:
        folder: where it goes.
        model: name on the Hugging Face hub; or
        path: of a Hugging Face folder; or
        config: ``model_type`` and keys of its config, for random weights; or
        features: one of ``FEATURES``, of which nothing is saved.
        revision: of ``model``: commit, branch or tag.
        seed: of the random weights.
        options: of the features.
        normalize: ``checkpoint`` or ``none``, see ``Encoder``. It and the next three
            are nothing to features.
        dtype: in which to compute: ``float32``, ``float16`` or ``bfloat16``.
        window_seconds: see ``Encoder``.
        overlap_seconds: see ``Encoder``.
        cache: what of the hidden states is kept: ``layers``, by default all, and
            ``dtype``, ``float16`` or ``int8``.

    Writes: the folder's config.json, model.safetensors, preprocessor_config.json, and
        last backbone.json: where it comes from, its sizes, and ``sha256`` over all
        that decides its hidden states.

    Raises:
        ValueError: when it cannot be had, is not an encoder of waveforms, or an option
            of features does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any]
    backbone: Backbone
    commit, cpu = None, torch.device("cpu")
    if features is not None:
        all_options = options_of(FEATURES[features], options or {})
        backbone = FEATURES[features](cpu, **all_options)
        settings = {"features": features, "options": all_options}
    else:
        commit = _save_encoder(folder, model, revision, path, config, seed)
        settings = {
            "normalize": normalize,
            "dtype": dtype,
            "window_seconds": window_seconds,
            "overlap_seconds": overlap_seconds,
        }
        as_torch = settings | {"dtype": getattr(torch, dtype)}
        backbone = Encoder(folder, device=cpu, **as_torch)
    layers = cache.get("layers", list(range(backbone.num_layers)))
    if unknown := sorted(set(layers) - set(range(backbone.num_layers))):
        raise ValueError(
            f"{model or path or features or folder}: cache.layers asks for layer"
            f" {unknown[0]}; this backbone has 0 to {backbone.num_layers - 1}"
        )
    settings |= {"layers": sorted(layers), "cache_dtype": cache["dtype"]}
    decisive = [FEATURES_VERSION] if features is not None else _decisive(folder)
    facts = {
        "source": model or path or features or f"random weights, seed {seed}",
        "commit": commit,
        **settings,
        "num_layers": backbone.num_layers,
        "hidden_size": backbone.hidden_size,
        "frame_shift": backbone.frame_shift,
        "min_samples": backbone.min_samples,
        "parameters": backbone.num_parameters,
        "sha256": _sha256(
            [] if features is not None else sorted(folder.glob("*.safetensors")),
            [*decisive, settings, LAYER_MEANING],
        ),
    }
    partial = folder / "backbone.json.partial"
    partial.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "backbone.json")


def _save_encoder(
    folder: Path,
    model: str | None,
    revision: str | None,
    path: str | None,
    config: dict[str, Any] | None,
    seed: int,
) -> str | None:
    """Make, copy or download an encoder; give the commit of one from the hub."""
    if config is not None:
        make_backbone(folder, config=config, seed=seed)
        return None
    if path is not None:
        copy_backbone(folder, Path(path))
        return None
    assert model is not None
    downloaded = download_backbone(model, revision)
    copy_backbone(folder, downloaded)
    return downloaded.name


def _decisive(folder: Path) -> list[dict[str, Any]]:
    """Give what decides an encoder's hidden states beside its weights."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    extractor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    return [
        {key: value for key, value in config.items() if key not in UNIMPORTANT_KEYS},
        {key: extractor[key] for key in EXTRACTOR_KEYS if key in extractor},
    ]


def _sha256(weights: list[Path], decisive: list[Any]) -> str:
    content = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
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
