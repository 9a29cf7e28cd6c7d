"""How often intervals hold the truth, and what metrics cost against a plain loop.

python benchmarks/metrics.py [--lists 300]
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from unipool.bootstrap import draw_speakers
from unipool.calibration import fit_calibration
from unipool.measuring import interval_of, measurements_of, values_by_name
from unipool.metrics import (
    SortedTrials,
    act_dcf,
    cllr,
    eer,
    eer_star,
    min_cllr,
    min_dcf,
)

OF_ORDER = {
    "eer": eer,
    "min_dcf_p01": partial(min_dcf, p_target=0.01),
    "min_dcf_p05": partial(min_dcf, p_target=0.05),
    "min_cllr": min_cllr,
}
OF_RATIOS = {
    "act_dcf_p01": partial(act_dcf, p_target=0.01),
    "act_dcf_p05": partial(act_dcf, p_target=0.05),
    "cllr": cllr,
    "eer_star": partial(eer_star, threshold=0.0),
}

# Speakers, utterances of each, noise of an utterance, deviation of its logarithm over
# speakers, trials of each class.
LISTS = [
    (15, 8, 1.2, 0.3, 600),
    (20, 8, 0.75, 0.3, 1000),
    (40, 8, 1.6, 0.3, 2000),
    (40, 8, 0.5, 0.3, 2000),
    (40, 10, 0.4, 0.3, 6000),
    (60, 10, 0.9, 0.3, 8000),
    (40, 8, 0.3, 0.6, 2000),
    (100, 6, 0.3, 0.6, 3000),
]
SIZE = 24
"""Of the embeddings that are simulated."""


class Simulated(NamedTuple):
    """Scored trials and the numbers of their speakers."""

    scores: np.ndarray
    targets: np.ndarray
    enrolment: np.ndarray
    test: np.ndarray

    def measurements(self, scale: float, shift: float) -> list:
        """Sort by score, and by a ratio that is made of it."""
        return [
            (SortedTrials(self.scores, self.targets).at_corners(), OF_ORDER),
            (SortedTrials(scale * self.scores + shift, self.targets), OF_RATIOS),
        ]


def simulate(
    speakers: int,
    utterances: int,
    noise: float,
    hardness: float,
    per_class: int,
    generator: np.random.Generator,
) -> Simulated:
    """Draw embeddings, of some speakers with more noise, and score pairs of them."""
    of_speaker = generator.normal(size=(speakers, 1, SIZE))
    spread = noise * generator.lognormal(0, hardness, size=(speakers, 1, 1))
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
    return Simulated(scores, same[chosen], speaker[first], speaker[second])


def show_coverage(num_lists: int) -> None:
    """Print, for each list and metric, the true value and how often it was held."""
    names = [*OF_ORDER, *OF_RATIOS]
    print("speakers trials " + " ".join(f"{name:>16}" for name in names))
    for speakers, utterances, noise, hardness, per_class in LISTS:
        generator = np.random.default_rng(speakers + per_class)
        large = [
            simulate(400, 6, noise, hardness, 50_000, generator) for _ in range(60)
        ]
        whole = Simulated(*(np.concatenate(part) for part in zip(*large, strict=True)))
        calibration = fit_calibration(whole.scores[:, None], whole.targets)
        scale = calibration.weights[0] / calibration.scale[0]
        shift = calibration.bias - scale * calibration.mean[0]
        truth = values_by_name(whole.measurements(scale, shift))
        covered = dict.fromkeys(names, 0)
        for seed in range(num_lists):
            some = simulate(speakers, utterances, noise, hardness, per_class, generator)
            measurements = some.measurements(scale, shift)
            drawn = draw_speakers(
                measurements, some.enrolment, some.test, draws=400, seed=seed
            )
            draws = pd.concat(drawn, axis=1)
            for name, value in values_by_name(measurements).items():
                _, low, high = interval_of(
                    name, np.array([value]), draws[name].to_numpy()[:, None], speakers
                )
                covered[name] += low <= truth[name] <= high
        cells = [f"{truth[n]:.3f} {100 * covered[n] / num_lists:5.1f} %" for n in names]
        print(
            f"{speakers:8} {2 * per_class:6} "
            + " ".join(f"{cell:>16}" for cell in cells),
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


def trials_of(scores: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"target": targets, "score": scores, "llr": 2 * scores - 2})


def measure(scores: np.ndarray, targets: np.ndarray) -> None:
    rates = SortedTrials(scores, targets).error_rates()
    for metric in (OF_ORDER | OF_RATIOS).values():
        metric(rates)


def show_speed() -> None:
    """Print seconds and bytes; all metrics are measured, the loop knows one."""
    generator = np.random.default_rng(0)
    scores, targets = scored(20_000, generator)
    loop = timed(lambda: loop_over_thresholds(scores, targets))
    measure(scores, targets)
    ours = timed(lambda: measure(scores, targets))
    print(f"a loop over 20,000 thresholds (EER), against ours (all) {loop / ours:8.0f}")
    scores, targets = scored(10_000_000, generator)
    print(f"10 million trials, s {timed(lambda: measure(scores, targets)):43.2f}")
    tracemalloc.start()
    measure(scores, targets)
    _, peak = tracemalloc.get_traced_memory()
    print(f"10 million trials, bytes of each {peak / 1e7:31.1f}")
    tracemalloc.stop()
    scores, targets = scored(500_000, generator)
    enrolment, other = (generator.integers(0, 1000, 500_000) for _ in range(2))
    test = np.where(targets, enrolment, other)
    measurements = measurements_of(trials_of(scores, targets), (0.01, 0.05))
    draws = timed(
        lambda: draw_speakers(measurements, enrolment, test, draws=1000, seed=0)
    )
    print(f"1,000 draws of 500,000 trials, all metrics, s {draws:18.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=int, default=300)
    options = parser.parse_args()
    show_coverage(options.lists)
    show_speed()


if __name__ == "__main__":
    main()
