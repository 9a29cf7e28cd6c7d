"""Where an encoder comes from: a pretrained one, or one with random weights."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from unipool.audio import SAMPLE_RATE

# Weights that only training uses; a checkpoint may lack them.
UNUSED_WEIGHTS = ("masked_spec_embed",)


def make_backbone(folder: Path, *, config: dict[str, Any], seed: int) -> None:
    """Save an encoder with random weights as a Hugging Face folder.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        config: ``model_type`` and any keys of that model's Hugging Face config.
        seed: of the weights.

    Raises:
        ValueError: when the model type or a key is unknown.
    """
    model_type = config["model_type"]
    options = {key: value for key, value in config.items() if key != "model_type"}
    types = list(transformers.CONFIG_MAPPING)
    if model_type not in types:
        raise ValueError(
            f"model_type {model_type!r} is unknown to transformers"
            f" {transformers.__version__}; {_near(model_type, types)}"
        )
    known = AutoConfig.for_model(model_type).to_dict()
    for key in options:
        if key not in known:
            raise ValueError(
                f"{model_type} has no config key {key!r}; {_near(key, list(known))}"
            )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **options))
    model.save_pretrained(folder)
    layer_norm = getattr(model.config, "feat_extract_norm", "layer") == "layer"
    transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLE_RATE,
        do_normalize=layer_norm,
        return_attention_mask=layer_norm,
    ).save_pretrained(folder)


def copy_backbone(folder: Path, source: str, *, revision: str | None) -> str | None:
    """Save a pretrained encoder, without its head, as a folder that needs no network.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        source: a model's name on the Hugging Face hub, or a local folder.
        revision: commit, branch or tag on the hub.

    Returns:
        The commit that the revision stood for; None for a local folder.

    Raises:
        ValueError: when it cannot be had, or holds no such encoder.
    """
    try:
        model, report = AutoModel.from_pretrained(
            source, revision=revision, dtype="auto", output_loading_info=True
        )
        extractor = AutoFeatureExtractor.from_pretrained(source, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        if Path(source).is_dir():
            raise ValueError(
                f"{source}: not a Hugging Face folder of an encoder ({reason}); it"
                " needs config.json, model.safetensors, preprocessor_config.json"
            ) from error
        raise ValueError(
            f"{source} (revision {revision}) could not be fetched from the Hugging Face"
            f" hub ({reason}). Without network, fetch it elsewhere and name its folder:"
            " `path: <folder>` instead of `model:`; or set HF_HOME to a cache that has"
            " it"
        ) from error
    missing = [
        name for name in report["missing_keys"] if not name.endswith(UNUSED_WEIGHTS)
    ]
    if missing:
        raise ValueError(
            f"{source}: the checkpoint lacks {len(missing)} of the encoder's weights,"
            f" {missing[0]} the first; they would be random. Use a checkpoint of"
            f" {type(model).__name__}"
        )
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return getattr(model.config, "_commit_hash", None)


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "see its documentation"
