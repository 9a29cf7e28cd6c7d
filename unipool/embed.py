"""Embed the utterances of one split with one trained backend."""

from pathlib import Path

import torch

from unipool.backends import BACKENDS
from unipool.batches import SplitCache, embed_utterances
from unipool.checkpoint import read_checkpoint
from unipool.device import pick_device
from unipool.embeddings import Embeddings, write_embeddings


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
    cache, _ = split.open(memory_gb=0)
    found = (cache.num_layers, cache.hidden_size)
    if found != (info["num_layers"], info["hidden_size"]):
        raise ValueError(
            f"{split.folder}: hidden states of {found[0]} layers x {found[1]}, the"
            f" run {run} was trained on {info['num_layers']} x {info['hidden_size']};"
            " embed with the backbone that it was trained on"
        )
    where = pick_device(device)
    backend = BACKENDS[info["kind"]](*found, **info["options"])
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
