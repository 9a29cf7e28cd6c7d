"""Embed the utterances of one split with one trained backend."""

from pathlib import Path

import torch

from unipool.backends import BACKENDS
from unipool.batches import embed_utterances
from unipool.checkpoint import read_checkpoint
from unipool.device import pick_device
from unipool.embeddings import Embeddings, write_embeddings
from unipool.splits import Memory, SplitCache


def embed(
    *,
    run: Path,
    split: SplitCache,
    embeddings: Path,
    device: str,
    num_threads: int,
    embed_batch_seconds: float,
) -> None:
    """Embed every utterance of a split, whole.

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
        ValueError: when the cache is not the expected one, or does not fit the
            checkpoint.
    """
    torch.set_num_threads(num_threads)
    weights, info = read_checkpoint(run)
    where = pick_device(device)
    cache, _ = split.open(Memory(0, 0), where)
    if (cache.layers, cache.hidden_size) != (info["layers"], info["hidden_size"]):
        raise ValueError(
            f"{split.folder}: hidden states of layers {cache.layers}, size"
            f" {cache.hidden_size}; the run {run} was trained on layers"
            f" {info['layers']}, size {info['hidden_size']}: embed with the backbone"
            " that it was trained on"
        )
    backend = BACKENDS[info["kind"]](
        cache.num_layers, cache.hidden_size, **info["options"]
    )
    backend.load_state_dict(weights)
    vectors = embed_utterances(
        backend.to(where),
        cache,
        max_frames=int(embed_batch_seconds / cache.frame_shift),
        device=where,
        progress=True,
    )
    write_embeddings(
        embeddings,
        Embeddings(
            cache.utterances,
            vectors,
            num_heads=info["loss_heads"],
            info={
                "backend_parameters": info["backend_parameters"],
                "train_seconds": info["train_seconds"],
                "caches": info["caches"] | split.costs(cache),
                "trained_with": info["versions"],
            },
        ),
    )
