"""Where an encoder comes from: a pretrained one, or one with random weights."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from unipool.audio import SAMPLE_RATE

WHISPER_FRAMES_PER_SECOND = 50

# Weights that only training uses; a checkpoint may lack them.
UNUSED_WEIGHTS = ("masked_spec_embed",)


def make_backbone(folder: Path, *, config: dict[str, Any], seed: int) -> None:
    """Save an encoder with random weights as a Hugging Face folder.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        config: ``model_type`` and any keys of that model's Hugging Face config.
        seed: of the weights.

    Raises:
        ValueError: when the model type or a key is unknown, or the values do not fit.
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModel.from_config(AutoConfig.for_model(model_type, **options))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"transformers makes no {model_type} of this config"
                f" ({_first_line(error)}); mend its values"
            ) from error
    model.save_pretrained(folder)
    _extractor_for(model.config).save_pretrained(folder)


def _extractor_for(config: Any) -> Any:
    """Make the feature extractor that checkpoints of this kind come with."""
    if config.model_type == "whisper":
        return transformers.WhisperFeatureExtractor(
            feature_size=config.num_mel_bins,
            chunk_length=config.max_source_positions // WHISPER_FRAMES_PER_SECOND,
        )
    if config.model_type == "wav2vec2-bert":
        return transformers.SeamlessM4TFeatureExtractor()
    layer_norm = getattr(config, "feat_extract_norm", "layer") == "layer"
    return transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLE_RATE,
        do_normalize=layer_norm,
        return_attention_mask=layer_norm,
    )


def download_backbone(model: str, revision: str | None) -> Path:
    """Download a pretrained model from the Hugging Face hub, or find it downloaded.

    Args:
        model: its name there.
        revision: commit, branch or tag.

    Returns:
        The folder in Hugging Face's own cache; its name is the commit.

    Raises:
        ValueError: when it cannot be had.
    """
    try:
        folder = Path(_download(model, revision, ["*.json", "model*.safetensors"]))
        if not any(folder.glob("*.safetensors")):
            folder = Path(_download(model, revision, ["*.json", "pytorch_model*.bin"]))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{model} (revision {revision or 'main'}) could not be fetched from the"
            f" Hugging Face hub ({_first_line(error)}). Without network, fetch it"
            " elsewhere and name its folder: `path: <folder>` instead of `model:`; or"
            " set HF_HOME to a cache that has it"
        ) from error
    return folder


def _download(model: str, revision: str | None, patterns: list[str]) -> str:
    return huggingface_hub.snapshot_download(
        model, revision=revision, allow_patterns=patterns
    )


def copy_backbone(folder: Path, source: Path) -> None:
    """Save a pretrained encoder, without its head, as a folder of the project.

    Args:
        folder: where config.json, model.safetensors and preprocessor_config.json go.
        source: a Hugging Face folder.

    Raises:
        ValueError: when it holds no encoder, or not all of its weights.
    """
    try:
        model, report = AutoModel.from_pretrained(
            source, dtype="auto", output_loading_info=True
        )
        extractor = AutoFeatureExtractor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source}: not a Hugging Face folder of an encoder ({_first_line(error)});"
            " it needs config.json, model.safetensors, preprocessor_config.json"
        ) from error
    if missing := _missing(report):
        raise ValueError(
            f"{source}: the checkpoint lacks {len(missing)} of the encoder's weights,"
            f" {missing[0]} the first; they would be random. Use a checkpoint of"
            f" {type(model).__name__}"
        )
    with torch.random.fork_rng(devices=[]):  # the same each time, on every version
        torch.manual_seed(0)
        for name in sorted(report["missing_keys"]):
            torch.nn.init.uniform_(model.get_parameter(name))
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def load_model(folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """Load the model of a project's folder, all of its weights from there.

    Raises:
        ValueError: when weights are missing, or the file of them is damaged.
    """
    try:
        model, report = AutoModel.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, **options
        )
    except SafetensorError as error:
        raise ValueError(
            f"{folder}: model.safetensors is damaged ({error}); remove the folder, and"
            " have it made again"
        ) from error
    if missing := _missing(report):
        raise ValueError(
            f"{folder}: model.safetensors lacks {len(missing)} of the encoder's"
            f" weights, {missing[0]} the first; remove the folder, and have it made"
            " again"
        )
    return model


def _missing(report: dict[str, Any]) -> list[str]:
    names = sorted(report["missing_keys"])
    return [name for name in names if not name.endswith(UNUSED_WEIGHTS)]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "see its documentation"
