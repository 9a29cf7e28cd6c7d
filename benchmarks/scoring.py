"""What scoring costs, against trial-by-trial loops.

python benchmarks/scoring.py [--utterances 150000] [--trials 580000]

As many utterances and trials as VoxCeleb1-E has and more, embeddings of 192 values. The
loops score a share of the trials; their time is that share's, made up to all.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from unipool.scoring import SCORINGS, Cohort, Sides

SIZE = 192
COHORT_SPEAKERS = 6000
COHORT_EACH = 25
LOOPED = 20_000
"""Trials that the loops score."""


def best_of(times: int, call: Callable[[], object]) -> float:
    """Give the seconds of the fastest of some calls."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return min(found)


def loop(sides: Sides, count: int) -> list[float]:
    """Score trial by trial, in NumPy."""
    scores = []
    for first, second in zip(sides.enrolment[:count], sides.test[:count], strict=True):
        one, other = sides.vectors[first], sides.vectors[second]
        scores.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    return scores


def loop_in_torch(sides: Sides, count: int) -> list[float]:
    """Score trial by trial, as most published code does."""
    vectors = torch.from_numpy(sides.vectors)
    similarity = torch.nn.CosineSimilarity(dim=-1)
    return [
        similarity(vectors[first], vectors[second]).item()
        for first, second in zip(
            sides.enrolment[:count].tolist(), sides.test[:count].tolist(), strict=True
        )
    ]


def loop_normalised(sides: Sides, speakers: np.ndarray, count: int) -> list[float]:
    """Normalise trial by trial, each side against the cohort every time."""
    vectors = torch.from_numpy(sides.vectors)
    cohort = torch.from_numpy(speakers)
    similarity = torch.nn.CosineSimilarity(dim=-1)
    scores = []
    for row in range(count):
        pair = [vectors[sides.enrolment[row]][None], vectors[sides.test[row]][None]]
        cosine = similarity(*pair)
        value = 0.0
        for side in pair:
            top = similarity(side, cohort).topk(300)[0]
            value += float((cosine - top.mean()) / top.std(correction=0)) / 2
        scores.append(value)
    return scores


def simulate(num_utterances: int, num_trials: int) -> tuple[Sides, Cohort]:
    """Draw embeddings of a cohort's speakers, and of others whose trials are scored."""
    generator = np.random.default_rng(0)

    def vectors(num_speakers: int, each: int) -> np.ndarray:
        speakers = generator.normal(size=(num_speakers, SIZE)).astype(np.float32)
        rest = generator.normal(size=(num_speakers * each, SIZE)).astype(np.float32)
        return np.repeat(speakers, each, axis=0) + rest

    scored = vectors(-(-num_utterances // 100), 100)[:num_utterances]
    sides = Sides(
        scored,
        [f"u{i}" for i in range(len(scored))],
        *generator.integers(0, len(scored), size=(2, num_trials)),
        num_heads=1,
    )
    speakers = np.repeat(np.arange(COHORT_SPEAKERS), COHORT_EACH)
    return sides, Cohort(
        vectors(COHORT_SPEAKERS, COHORT_EACH), [f"s{i}" for i in speakers]
    )


def show_cosine(sides: Sides) -> None:
    score = SCORINGS["cosine"]().fit(None, 1)
    ours = best_of(3, lambda: score(sides))
    factor = len(sides.enrolment) / LOOPED
    numpy = factor * best_of(2, lambda: loop(sides, LOOPED))
    torches = factor * best_of(2, lambda: loop_in_torch(sides, LOOPED))
    difference = np.abs(
        score(sides).values[:LOOPED] - np.array(loop_in_torch(sides, LOOPED))
    ).max()
    print(f"cosine, s {ours:50.2f}")
    print(f"a loop in NumPy, s {numpy:41.1f}, against ours {numpy / ours:7.0f}")
    print(f"a loop in torch, s {torches:41.1f}, against ours {torches / ours:7.0f}")
    print(f"largest difference {difference:41.1e}")


def show_others(sides: Sides, cohort: Cohort) -> None:
    for name, kind, options in (
        ("cosine, centred", "cosine", {"centre": True}),
        ("as-norm, top 300", "as-norm", {"top": 300}),
        ("s-norm", "s-norm", {}),
        ("plda", "plda", {}),
        ("plda, lda_size 128", "plda", {"lda_size": 128}),
    ):
        scoring = SCORINGS[kind](**options)
        started = time.perf_counter()
        score = scoring.fit(cohort, 1)
        fitted = time.perf_counter() - started
        seconds = best_of(1, lambda score=score: score(sides))
        print(f"{name}, s {fitted:{37 - len(name)}.1f} to fit {seconds:12.1f} to score")
    speakers = cohort.speaker_means()[0].astype(np.float32)
    count = 200
    looped = best_of(1, lambda: loop_normalised(sides, speakers, count))
    looped *= len(sides.enrolment) / count
    score = SCORINGS["as-norm"]().fit(cohort, 1)
    seconds = best_of(1, lambda: score(sides))
    found = score(sides).values[:count]
    difference = np.abs(found - loop_normalised(sides, speakers, count)).max()
    print(
        f"as-norm in a loop in torch, s {looped:30.0f}, against ours"
        f" {looped / seconds:7.0f}"
    )
    print(f"largest difference {difference:41.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=150_000)
    parser.add_argument("--trials", type=int, default=580_000)
    options = parser.parse_args()
    torch.set_num_threads(2)
    sides, cohort = simulate(options.utterances, options.trials)
    print(
        f"{options.trials:,} trials of {options.utterances:,} utterances, a cohort of"
        f" {COHORT_SPEAKERS:,} speakers with {COHORT_EACH} utterances each"
    )
    show_cosine(sides)
    show_others(sides, cohort)


if __name__ == "__main__":
    main()
