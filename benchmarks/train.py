"""How long training waits for hidden states: its share of the time of a step.

    python benchmarks/train.py [--gigabytes 1.0] [--steps 12] [--folder /the/disk]

States of the shape of a base encoder (13 x 768), crops of 3 s, batches of 32, the
lightest backend and UniPool; from mapped files, and loaded where it fits.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from stage import BATCH, Stage

from unipool.backends import BACKENDS
from unipool.cache import Cache
from unipool.splits import Memory
from unipool.trainee import Trainee
from unipool.training import Training

TRAINING = Training(
    steps=1000,
    batch_size=BATCH,
    crop_seconds=3.0,
    learning_rate=1e-3,
    gradient_clip=5.0,
    validate_every=1000,
    loss="aam-softmax",
    loss_options={"margin": 0.2, "scale": 30.0},
)


def waiting_share(stage: Stage, cache: Cache, kind: str, steps: int) -> float:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backend = BACKENDS[kind](cache.num_layers, cache.hidden_size)
    loss = TRAINING.make_loss(backend.embedding_size, stage.count)
    trainee = Trainee(backend, loss, TRAINING, seed=0, device=device)
    waited = 0.0
    began = asked = time.perf_counter()
    for step, batch in enumerate(stage.sampler(cache).batches(0, steps)):
        if step == 2:  # memory is there, kernels are chosen
            began, waited = time.perf_counter(), 0.0
        else:
            waited += time.perf_counter() - asked
        trainee.update([batch])
        if device.type == "cuda":
            torch.cuda.synchronize()
        asked = time.perf_counter()
    return waited / (asked - began)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gigabytes", type=float, default=1.0)
    arguments.add_argument("--steps", type=int, default=12)
    arguments.add_argument("--folder", type=Path, default=None)
    options = arguments.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stage = Stage(Path(folder), options.gigabytes)
        stage.write()
        for kind in ("combined", "unipool"):
            for name, gigabytes in (("mapped", 0.0), ("loaded", 1e3)):
                cache = stage.open()
                Memory(gigabytes, gigabytes).load(cache, device)
                share = waiting_share(stage, cache, kind, options.steps)
                what = f"{kind}, {name}, on {device}: waiting for states"
                print(f"{what:52} {share:6.3f}", flush=True)


if __name__ == "__main__":
    main()
