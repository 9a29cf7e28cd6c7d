"""The embeddings of one run for one split of one corpus: an HDF5 file.

embeddings   float32 (N, E)   one row for each utterance, not normalised
utterances   str     (N,)     ids, in manifest order

Attributes: ``format`` ("unipool-embeddings"), ``version`` (1), ``num_heads`` (the
embedding is so many vectors, one after another, each compared by its own cosine) and
``info``, a JSON object with where they come from. A reader MUST refuse another format
or version.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from jaxtyping import Float32

FORMAT = "unipool-embeddings"
VERSION = 1


class Embeddings(NamedTuple):
    """What an embeddings file holds."""

    utterances: list[str]
    embeddings: Float32[np.ndarray, "N E"]
    num_heads: int
    info: dict[str, Any]


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
        file.create_dataset(
            "utterances", data=content.utterances, dtype=h5py.string_dtype()
        )
    partial.replace(path)


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
                utterances=[str(name) for name in file["utterances"].asstr()[()]],
                embeddings=file["embeddings"][()],
                num_heads=int(file.attrs["num_heads"]),
                info=json.loads(file.attrs["info"]),
            )
    except OSError as error:
        raise ValueError(
            f"{path}: not a readable HDF5 file ({error}); delete it and embed again"
        ) from error
