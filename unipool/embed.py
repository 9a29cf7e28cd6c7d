"""Embed the utterances of one split with one trained backend."""

import time
from pathlib import Path
from typing import Any

import torch

from unipool.backends.layer_weights import HasEncoder
from unipool.batches import embed_utterances
from unipool.device import pick_device
from unipool.embeddings import Embeddings, write_embeddings
from unipool.splits import SplitCache
from unipool.trained import open_run, stop_without_embeddings
from unipool.weighing import LayerWeights, weigh_layers


def embed(
    *,
    run: Path,
    split: SplitCache,
    embeddings: Path,
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
) -> None:
    """Embed every utterance of a split, whole; note how the backend weighs the layers.

    Args:
        run: folder of the checkpoint.
        split: the utterances, of any corpus, cached with the run's backbone.
        embeddings: the file to write.
        device: ``auto``, ``cpu`` or ``cuda``.
        num_threads: of the CPU; the last digits of sums depend on it.
        embed_batch_seconds: of a batch, its padding included.

    Reads: the checkpoint, the manifest, cache parts.
    Writes: ``embeddings``.

    Raises:
        ValueError: when the cache is not the expected one or does not fit the
            checkpoint, or the run has no embeddings.
    """
    torch.set_num_threads(num_threads)
    where = pick_device(device)
    backend, info, cache, rows = opened = open_run(run, split, where)
    stop_without_embeddings(run, info)
    started = time.monotonic()
    vectors = embed_utterances(
        backend,
        cache,
        max_frames=int(embed_batch_seconds / cache.frame_shift),
        device=where,
        progress=True,
    )
    embed_seconds = time.monotonic() - started
    write_embeddings(
        embeddings,
        Embeddings(
            cache.utterances,
            rows["speaker"].tolist(),
            rows["seconds"].to_numpy(float),
            vectors,
            num_heads=info["loss_heads"],
            info={
                "costs": opened.costs | {"embed_seconds": round(embed_seconds, 3)},
                "caches": info.get("caches", {}) | split.costs(cache),
                "trained_with": info.get("versions"),
                "identity": info.get("identity"),
            },
            **_of_layers(
                weigh_layers(backend, cache, device=where),
                backend.encoder_layers
                if isinstance(backend, HasEncoder)
                else cache.layers,
            ),
        ),
    )


def _of_layers(weights: dict[str, LayerWeights], numbers: list[int]) -> dict[str, Any]:
    """Give what the file says of layers: most of the part that is used last.

    A backend that leaves layers out leaves out the first ones.
    """
    if not weights:
        return {}
    *earlier, (_, last) = weights.items()
    return {
        "layers": numbers[-len(last.mean) :],
        "layer_weights": last.mean,
        "layer_weights_std": last.std,
        "layer_attention": last.attention,
        "attention_utterance": last.utterance,
        "earlier_layer_weights": {part: of_part.mean for part, of_part in earlier},
    }
