"""How often intervals hold the truth, and what metrics cost against a plain loop.

python benchmarks/metrics.py [--lists 250]
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from unipool.intervals import around, draw_speakers
from unipool.metrics import SortedTrials, eer, min_dcf

METRICS = {"eer": eer, "min_dcf_p05": partial(min_dcf, p_target=0.05)}

# Speakers, utterances of each, noise of an utterance, trials of each class.
LISTS = [
    (15, 8, 1.2, 600),
    (20, 8, 0.75, 1000),
    (40, 8, 1.6, 2000),
    (60, 10, 0.9, 8000),
]
SIZE = 24
"""Of the embeddings that are simulated."""


def simulate(
    speakers: int,
    utterances: int,
    noise: float,
    per_class: int,
    generator: np.random.Generator,
) -> tuple[SortedTrials, np.ndarray, np.ndarray]:
    """Draw embeddings, of some speakers with more noise, and score pairs of them."""
    of_speaker = generator.normal(size=(speakers, 1, SIZE))
    spread = noise * generator.lognormal(0, 0.3, size=(speakers, 1, 1))
    drawn = generator.normal(size=(speakers, utterances, SIZE))
    embeddings = (of_speaker + spread * drawn).reshape(-1, SIZE)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    speaker = np.repeat(np.arange(speakers), utterances)
    first, second = np.triu_indices(len(speaker), 1)
    same = speaker[first] == speaker[second]
    chosen = np.concatenate(
        [
            generator.choice(places, min(len(places), per_class), replace=False)
            for places in (np.flatnonzero(same), np.flatnonzero(~same))
        ]
    )
    first, second = first[chosen], second[chosen]
    scores = np.einsum("ne,ne->n", embeddings[first], embeddings[second])
    return SortedTrials(scores, same[chosen]), speaker[first], speaker[second]


def show_coverage(num_lists: int) -> None:
    print("speakers  trials  true eer  eer covered  min_dcf_p05 covered")
    for speakers, utterances, noise, per_class in LISTS:
        generator = np.random.default_rng(speakers)
        large = [
            simulate(400, 6, noise, 100_000, generator)[0].error_rates()
            for _ in range(12)
        ]
        truth = {name: np.mean([m(r) for r in large]) for name, m in METRICS.items()}
        covered = dict.fromkeys(METRICS, 0)
        for seed in range(num_lists):
            trials, enrolment, test = simulate(
                speakers, utterances, noise, per_class, generator
            )
            drawn = draw_speakers(
                [trials], enrolment, test, METRICS, draws=200, seed=seed
            )
            for name, metric in METRICS.items():
                value = metric(trials.error_rates())
                low, high = around(value, drawn[name][:, 0], speakers)
                covered[name] += low <= truth[name] <= high
        shares = [f"{covered[name] / num_lists:.3f}" for name in METRICS]
        print(
            f"{speakers:8} {2 * per_class:7} {truth['eer']:9.3f} {shares[0]:>12}"
            f" {shares[1]:>20}",
            flush=True,
        )


def loop_over_thresholds(scores: np.ndarray, targets: np.ndarray) -> float:
    """Give the EER as a direct transcription of its definition would."""
    best, value = np.inf, 0.0
    for threshold in np.unique(scores):
        p_miss = np.mean(scores[targets] < threshold)
        p_fa = np.mean(scores[~targets] >= threshold)
        if abs(p_miss - p_fa) < best:
            best, value = abs(p_miss - p_fa), (p_miss + p_fa) / 2
    return value


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def scored(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    targets = generator.random(count) < 0.5
    return generator.normal(size=count) + 2 * targets, targets


def measure(scores: np.ndarray, targets: np.ndarray) -> None:
    rates = SortedTrials(scores, targets).error_rates()
    eer(rates)
    for metric in METRICS.values():
        metric(rates)


def show_speed() -> None:
    generator = np.random.default_rng(0)
    scores, targets = scored(20_000, generator)
    loop = timed(lambda: loop_over_thresholds(scores, targets))
    ours = timed(lambda: measure(scores, targets))
    print(f"a loop over thresholds, 20,000 trials, against ours {loop / ours:10.0f}")
    scores, targets = scored(10_000_000, generator)
    many = timed(lambda: measure(scores, targets))
    print(f"10 million trials, against 20,000 {many / ours:28.0f}")
    print(f"10 million trials, s {many:41.2f}")
    scores, targets = scored(500_000, generator)
    sides = [generator.integers(0, 1000, 500_000) for _ in range(2)]
    trials = SortedTrials(scores, targets)
    draws = timed(lambda: draw_speakers([trials], *sides, METRICS, draws=1000, seed=0))
    print(f"1,000 draws of 500,000 trials, s {draws:29.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=int, default=250)
    options = parser.parse_args()
    show_coverage(options.lists)
    show_speed()


if __name__ == "__main__":
    main()
