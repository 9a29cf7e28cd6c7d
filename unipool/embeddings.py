"""The embeddings of one run for one split of one corpus: an HDF5 file.

embeddings   float32 (N, E)   one row for each utterance, not normalised
utterances   str     (N,)     ids, in manifest order
speakers     str     (N,)     of each; of another speed, another speaker
seconds      float64 (N,)     duration of each

Only where the backend has weights for the layers (docs/layers.md):

layers              int64   (L,)     the encoder's layers that they are of
layer_weights       float32 (L,)     mean over utterances; they sum to 1
layer_weights_std   float32 (L,)     standard deviation over utterances
layer_attention     float32 (L, T)   of each frame of one utterance, which the
                                     attribute ``utterance`` names
earlier_layer_weights/{part}   float32 (L,)   of parts that are used before

Attributes: ``format`` ("unipool-embeddings"), ``version`` (2), ``num_heads`` (the
embedding is so many vectors, one after another, each compared by its own cosine) and
``info``, a JSON object with where they come from and what they cost. A reader MUST
refuse another format or version. docs/embeddings.md is the specification.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from jaxtyping import Float32, Float64

FORMAT = "unipool-embeddings"
VERSION = 2

OF_LAYERS = ("layer_weights", "layer_weights_std", "layer_attention")


class Embeddings(NamedTuple):
    """What an embeddings file holds; None of layers where the backend weighs none.

    Attributes:
        utterances: ids, in manifest order.
        speakers: of each utterance, as the view has them.
        seconds: duration of each utterance.
        embeddings: one row for each utterance, not normalised.
        num_heads: vectors that an embedding is made of.
        info: ``costs``, ``caches``, ``trained_with`` and ``identity``.
        layers: numbers of the encoder's layers that are weighed.
        layer_weights: of the part that is used last; they sum to 1.
        layer_weights_std: over utterances; 0 where weights do not depend on them.
        layer_attention: the weights of each frame of one utterance.
        attention_utterance: which that is.
        earlier_layer_weights: by name, of parts that are used before.
    """

    utterances: list[str]
    speakers: list[str]
    seconds: Float64[np.ndarray, " N"]
    embeddings: Float32[np.ndarray, "N E"]
    num_heads: int
    info: dict[str, Any]
    layers: list[int] | None = None
    layer_weights: Float32[np.ndarray, " L"] | None = None
    layer_weights_std: Float32[np.ndarray, " L"] | None = None
    layer_attention: Float32[np.ndarray, "L T"] | None = None
    attention_utterance: str | None = None
    earlier_layer_weights: dict[str, Float32[np.ndarray, " L"]] | None = None


def write_embeddings(path: Path, content: Embeddings) -> None:
    """Write the file under a temporary name, then rename it.

    Raises:
        ValueError: when an embedding is not finite; it names the first such utterance.
    """
    finite = np.isfinite(content.embeddings).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{path}: the embedding of utterance"
            f" {content.utterances[int(np.argmin(finite))]} is not finite; the run's"
            " weights are broken: train it with a lower learning_rate"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with h5py.File(partial, "w") as file:
        file.attrs.update(
            format=FORMAT,
            version=VERSION,
            num_heads=content.num_heads,
            info=json.dumps(content.info, ensure_ascii=False),
        )
        file["embeddings"] = content.embeddings
        file["seconds"] = content.seconds
        for name in ("utterances", "speakers"):
            texts = getattr(content, name)
            file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        if content.layer_weights is not None:
            _write_layers(file, content)
    partial.replace(path)


def _write_layers(file: h5py.File, content: Embeddings) -> None:
    file["layers"] = np.array(content.layers, dtype=np.int64)
    for name in OF_LAYERS:
        file[name] = getattr(content, name)
    file["layer_attention"].attrs["utterance"] = content.attention_utterance
    for part, weights in (content.earlier_layer_weights or {}).items():
        file[f"earlier_layer_weights/{part}"] = weights


def read_embeddings(path: Path) -> Embeddings:
    """Read a whole file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not HDF5, or of another format or version.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such embeddings file; run `embed` first")
    try:
        with h5py.File(path, "r") as file:
            found = (file.attrs.get("format"), file.attrs.get("version"))
            if found != (FORMAT, VERSION):
                raise ValueError(
                    f"{path}: format {found[0]} version {found[1]}, this unipool"
                    f" reads {FORMAT} version {VERSION}; delete it and embed again"
                )
            return Embeddings(
                utterances=_read_texts(file["utterances"]),
                speakers=_read_texts(file["speakers"]),
                seconds=file["seconds"][()],
                embeddings=file["embeddings"][()],
                num_heads=int(file.attrs["num_heads"]),
                info=json.loads(file.attrs["info"]),
                **(_read_layers(file) if "layers" in file else {}),
            )
    except OSError as error:
        raise ValueError(
            f"{path}: not a readable HDF5 file ({error}); delete it and embed again"
        ) from error


def _read_texts(texts: h5py.Dataset) -> list[str]:
    return [str(text) for text in texts.asstr()[()]]


def _read_layers(file: h5py.File) -> dict[str, Any]:
    earlier = file.get("earlier_layer_weights", {})
    return {
        "layers": file["layers"][()].tolist(),
        **{name: file[name][()] for name in OF_LAYERS},
        "attention_utterance": str(file["layer_attention"].attrs["utterance"]),
        "earlier_layer_weights": {part: earlier[part][()] for part in earlier},
    }
