"""Map embeddings: place utterances on a plane, near ones near each other."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from unipool.embeddings import Embeddings, read_embeddings
from unipool.manifest import read_manifest

logger = logging.getLogger(__name__)

NO_METADATA = (
    *("utterance", "speaker", "x", "y"),
    *("split", "path", "seconds", "start", "stop"),
)
"""Columns of a manifest that do not follow the place on the map."""

FEWEST = 4
"""Utterances that t-SNE can place."""

START = 1e-4
"""Standard deviation of where t-SNE begins."""


def map_embeddings(
    *,
    embeddings: Path,
    manifest: Path,
    out: Path,
    perplexity: float = 30,
    num_points: int = 2000,
    seed: int = 0,
) -> None:
    """Write where each utterance is on a map made by t-SNE of the cosine distances.

    With several heads the cosine is the mean of theirs, as in scoring. A few utterances
    are placed on the two principal axes of their directions instead.

    Args:
        embeddings: of one split.
        manifest: of its corpus; it knows the metadata.
        out: CSV to write: utterance, speaker, x, y, metadata.
        perplexity: about how many neighbours an utterance has; at most a third of the
            utterances.
        num_points: most utterances on the map, drawn evenly over the speakers.
        seed: of which ones are drawn.

    Reads: embeddings, the manifest.
    Writes: ``out``.

    Raises:
        ValueError: when an utterance is not in the manifest.

    Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008, as
    scikit-learn has it, which begins at the principal axes.
    """
    content = read_embeddings(embeddings)
    rows = draw_evenly(content, num_points, seed=seed)
    names = [content.utterances[row] for row in rows]
    metadata = _metadata(read_manifest(manifest), names, embeddings, manifest)
    directions = _directions(content.embeddings[rows], content.num_heads)
    x, y = place(directions, perplexity=perplexity).T
    points = pd.DataFrame(
        {
            "utterance": names,
            "speaker": [content.speakers[row] for row in rows],
            "x": x,
            "y": y,
        }
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    pd.concat([points, metadata], axis=1).to_csv(
        partial, index=False, float_format="%.6g"
    )
    partial.replace(out)


def draw_evenly(
    content: Embeddings, num_points: int, *, seed: int
) -> Int64[np.ndarray, " N"]:
    """Give rows of utterances: of each speaker one, then a second, and so on.

    Which ones follows from their ids and the seed, so an utterance more does not change
    all.
    """
    keys = [
        hashlib.sha256(f"{seed}:{name}".encode()).digest()
        for name in content.utterances
    ]
    table = pd.DataFrame({"speaker": content.speakers, "key": keys}).sort_values("key")
    turn = table.groupby("speaker").cumcount()
    # Stable, so of one turn those of the first keys come first.
    drawn = turn.sort_values(kind="stable").index[:num_points]
    return np.sort(drawn.to_numpy(np.int64))


def place(
    directions: Float32[np.ndarray, "N E"], *, perplexity: float
) -> Float32[np.ndarray, "N 2"]:
    """Give a place on the plane to each direction; all in one place if all are equal.

    One thread places them: several would wait for each other longer than they work, and
    the last digits would depend on their number.
    """
    start = _principal(directions)
    spread = float(start[:, 0].std())
    if len(directions) < FEWEST or spread == 0:
        return start
    lowered = min(perplexity, len(directions) / 3)
    if lowered < perplexity:
        logger.info(
            "perplexity %g is lowered to %.3g, a third of %d utterances",
            *(perplexity, lowered, len(directions)),
        )
    with threadpool_limits(1):
        return TSNE(
            metric="cosine",
            init=start * np.float32(START / spread),
            perplexity=lowered,
            random_state=0,
        ).fit_transform(directions)


def _principal(directions: Float32[np.ndarray, "N E"]) -> Float32[np.ndarray, "N 2"]:
    """Project on the two axes of most variance, each turned so that it is known."""
    centred = directions.astype(np.float64) - directions.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    on_axes = (left * sizes)[:, :2]
    on_axes[:, sizes[:2] < 1e-6 * max(sizes[0], 1)] = 0
    furthest = np.abs(on_axes).argmax(axis=0)
    on_axes *= np.where(on_axes[furthest, range(on_axes.shape[1])] < 0, -1, 1)
    places = np.zeros((len(directions), 2), dtype=np.float32)
    places[:, : on_axes.shape[1]] = on_axes
    return places


def _directions(
    embeddings: Float32[np.ndarray, "N E"], num_heads: int
) -> Float32[np.ndarray, "N E"]:
    """Scale each head to length 1, so that the cosine is the mean of the heads'."""
    heads = embeddings.reshape(len(embeddings), num_heads, -1)
    lengths = np.linalg.norm(heads, axis=2, keepdims=True)
    unit = np.divide(heads, lengths, out=np.zeros_like(heads), where=lengths > 0)
    return unit.reshape(embeddings.shape)


def _metadata(
    rows: pd.DataFrame, names: list[str], embeddings: Path, manifest: Path
) -> pd.DataFrame:
    """Give the metadata of utterances, in their order."""
    places = pd.Index(rows["utterance"]).get_indexer(names)
    if (places < 0).any():
        lacking = [names[i] for i in np.flatnonzero(places < 0)]
        raise ValueError(
            f"{embeddings}: {len(lacking)} of {len(names)} utterances are not in"
            f" {manifest}, for example {', '.join(lacking[:10])}; embed the split again"
        )
    columns = [column for column in rows if column not in NO_METADATA]
    return rows.loc[places, columns].reset_index(drop=True)
