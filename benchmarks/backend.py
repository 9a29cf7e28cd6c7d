"""How fast UniPool trains, as a ratio to a literal implementation, and what it takes.

    python benchmarks/backend.py [--batch 32] [--layers 13] [--hidden-size 768]

Both have the same weights and give the same embeddings. A step is forward, loss,
backward; memory is the peak of the whole process, each in a process of its own.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import torch
from literal import LiteralUniPool
from torch import Tensor, nn

from unipool.backends.unipool import UniPool
from unipool.losses import AAMSoftmax

FRAMES_OF_CROP = 149
SPEAKERS = 1000


def step_of(kind: str, options: argparse.Namespace) -> Callable[[], Tensor]:
    torch.manual_seed(0)
    backend = UniPool(options.layers, options.hidden_size, dropout=0.0)
    loss = AAMSoftmax(192, SPEAKERS, margin=0.2, scale=30.0)
    states = torch.randn(
        options.batch, options.layers, FRAMES_OF_CROP, options.hidden_size
    )
    labels = torch.arange(options.batch)
    mask = torch.ones(options.batch, FRAMES_OF_CROP, dtype=torch.bool)
    literal = LiteralUniPool(backend)

    def embed() -> Tensor:
        return literal(states) if kind == "literal" else backend(states, mask)

    def step() -> Tensor:
        nn.Module.zero_grad(backend)
        embeddings = embed()
        loss(embeddings, labels).backward()
        return embeddings.detach()

    return step


def peak_gigabytes(kind: str, options: argparse.Namespace, queue: object) -> None:
    step = step_of(kind, options)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    queue.put((after - before) / 1e6)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--layers", type=int, default=13)
    arguments.add_argument("--hidden-size", type=int, default=768)
    arguments.add_argument("--times", type=int, default=3)
    options = arguments.parse_args()
    kinds = ("literal", "ours")
    peaks = {}
    fresh = multiprocessing.get_context("spawn")
    for kind in kinds:
        queue = fresh.Queue()
        process = fresh.Process(target=peak_gigabytes, args=(kind, options, queue))
        process.start()
        peaks[kind] = queue.get()
        process.join()
    steps = {kind: step_of(kind, options) for kind in kinds}
    first, second = (steps[kind]() for kind in kinds)
    difference = ((first - second).abs().max() / first.abs().max()).item()
    print(f"embeddings in training differ by {difference:.1e} of the largest")
    lasted: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.times):
        for kind in kinds:
            started = time.perf_counter()
            steps[kind]()
            lasted[kind].append(time.perf_counter() - started)
    faster = min(lasted["literal"]) / min(lasted["ours"])
    print(f"training steps, against a literal implementation  {faster:6.2f}")
    share = peaks["ours"] / peaks["literal"]
    print(f"memory of a step, share of the literal one's      {share:6.2f}")
    print(f"seconds a step: {min(lasted['ours']):.2f}; GB: {peaks['ours']:.2f}")


if __name__ == "__main__":
    main()
