"""``unipool metrics`` and ``unipool compare``."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unipool.cli.printing import as_json, say, show, warn

READS = (
    "Reads scores of any toolkit: a CSV whose header has score and target, or lines of"
    " `enrolment test score`, with or without a label, or of `score label`."
)


def add_measures(commands: Any) -> None:
    """Add both to the parser's commands."""
    measuring = commands.add_parser(
        "metrics",
        help="error rates of scored trials, with 95 %% intervals",
        description=READS,
    )
    _add_common(measuring)
    measuring.add_argument(
        "--validation",
        type=Path,
        action="append",
        metavar="SCORES",
        help="scores of other trials, with labels: they choose the threshold of"
        " eer_star and calibrate; once for each file of scores, in their order",
    )
    for option, text in (
        ("--llr", "the scores are natural logarithms of likelihood ratios"),
        ("--published", "also the values as UniPool's published code computes them"),
        ("--by-condition", "also the trials of each value of each condition column"),
    ):
        measuring.add_argument(option, action="store_true", help=text)
    measuring.add_argument(
        "--det", type=Path, metavar="FILE", help="draw DET curves (.png, .svg, .html)"
    )
    measuring.set_defaults(run=_metrics)
    comparing = commands.add_parser(
        "compare",
        help="is the second system better than the first, really?",
        description=READS + " Of several files, each two are compared.",
    )
    _add_common(comparing)
    comparing.set_defaults(run=_compare)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("scores", nargs="+", type=Path, metavar="SCORES")
    command.add_argument(
        "--trials", type=Path, help="list with the labels, if scores have none"
    )
    command.add_argument(
        "--manifest",
        type=Path,
        help="CSV with utterance and speaker; without it, intervals are too narrow",
    )
    command.add_argument(
        "--p-target",
        type=float,
        action="append",
        metavar="P",
        help="prior of the detection costs; may be repeated (default: 0.01 and 0.05)",
    )
    command.add_argument(
        "--draws",
        type=int,
        default=1000,
        help="of speakers, for the intervals (default: %(default)s; 0: no intervals)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


class _Scored(NamedTuple):
    """Scored trials of each file, by its name, and their speakers.

    ``resampled`` is what stands for speakers where they are not known.
    """

    systems: dict[str, pd.DataFrame]
    speaker_of: pd.Series
    resampled: str


def _read(options: argparse.Namespace) -> _Scored:
    from unipool.scored import number_trials, read_scored, speakers_of

    systems = {str(file): read_scored(file, options.trials) for file in options.scores}
    if len(systems) < len(options.scores):
        raise ValueError("a file of scores is named twice")
    resampled = "utterances" if options.manifest is None else "speakers"
    if not all("enrolment" in trials for trials in systems.values()):
        if options.manifest is not None:
            raise ValueError(
                "the scores do not name the two sides of each trial, so the manifest"
                " cannot say whose they are; give the names, or a list with --trials"
            )
        resampled = "trials"
        systems = {name: number_trials(trials) for name, trials in systems.items()}
    if resampled != "speakers" and options.draws > 0:
        warn(
            f"speakers are not known, so {resampled} are resampled as if independent:"
            " the intervals are too narrow"
            + ("; --manifest says who speaks" if resampled == "utterances" else "")
        )
    together = pd.concat(
        [trials[["enrolment", "test", "target"]] for trials in systems.values()]
    )
    speaker_of = speakers_of(together, options.manifest)
    return _Scored(systems, speaker_of, resampled)


def _metrics(options: argparse.Namespace) -> int:
    # Here, not above: scipy takes its time to import.
    from unipool.measuring import measure, measure_conditions

    scored = _read(options)
    systems, thresholds = _calibrate(options, scored.systems)
    common = {"published": options.published, **_common(options)}
    told: dict[str, dict[str, Any]] = {}
    for name, trials in systems.items():
        settings: dict[str, Any] = common | thresholds.get(name, {})
        try:
            values = measure(trials, scored.speaker_of, **settings).values
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        told[name] = _named(values, scored.resampled)
        if options.by_condition:
            rows = measure_conditions(
                trials, scored.speaker_of, conditions=_conditions(trials), **settings
            )
            told[name]["conditions"] = [_named(row, scored.resampled) for row in rows]
    if options.det is not None:
        _draw(systems, options.det)
    if options.json:
        say(as_json(told if len(told) > 1 else next(iter(told.values()))))
    else:
        show(told)
    return 0


def _common(options: argparse.Namespace) -> dict[str, Any]:
    from unipool.measuring import P_TARGETS

    if options.draws < 0:
        raise ValueError(f"--draws {options.draws}: 0 or more")
    return {"p_targets": options.p_target or P_TARGETS, "draws": options.draws}


def _calibrate(
    options: argparse.Namespace, systems: dict[str, pd.DataFrame]
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, float]]]:
    """Give each system its ratios, and the thresholds that its validation chose."""
    if options.llr:
        systems = {name: one.assign(llr=one["score"]) for name, one in systems.items()}
    thresholds: dict[str, dict[str, float]] = {}
    if options.validation is None:
        return systems, thresholds
    if len(options.validation) != len(systems):
        raise ValueError(
            f"{len(systems)} files of scores, but {len(options.validation)} with"
            " --validation; give each its own, in the same order"
        )
    from unipool.as_published import published_threshold
    from unipool.calibration import fit_calibration
    from unipool.metrics import SortedTrials, eer_threshold
    from unipool.scored import read_scored

    calibrated = {}
    for (name, trials), file in zip(systems.items(), options.validation, strict=True):
        valid = read_scored(file)
        scores, targets = valid["score"].to_numpy(), valid["target"].to_numpy(bool)
        rates = SortedTrials(scores, targets).error_rates()
        thresholds[name] = {"threshold": eer_threshold(rates)}
        if options.published:
            clamped = SortedTrials(np.clip(scores, 0, 1), targets).error_rates()
            thresholds[name]["published_threshold"] = published_threshold(clamped)
        if not options.llr:
            ratios = fit_calibration(scores[:, None], targets)
            trials = trials.assign(llr=ratios.llr(trials[["score"]].to_numpy()))
        calibrated[name] = trials
    return calibrated, thresholds


def _conditions(trials: pd.DataFrame) -> list[str]:
    from unipool.scored import conditions_of

    found = conditions_of(trials)
    if not found:
        raise ValueError(
            "--by-condition: neither the scores nor the list has a column of"
            " conditions, such as same_gender; see docs/trials.md"
        )
    return found


def _named(values: dict[str, Any], resampled: str) -> dict[str, Any]:
    """Leave out a number of speakers that is none."""
    wrong = set() if resampled == "speakers" else {"num_speakers", "fewest_speakers"}
    return {name: value for name, value in values.items() if name not in wrong}


def _draw(systems: dict[str, pd.DataFrame], file: Path) -> None:
    from unipool.charts import det_chart, save_chart
    from unipool.metrics import SortedTrials

    rates = {
        Path(name).stem if len(systems) == 1 else name: SortedTrials(
            trials["score"].to_numpy(), trials["target"].to_numpy(bool)
        ).error_rates()
        for name, trials in systems.items()
    }
    save_chart(det_chart(rates), file)


def _spell_p(p_value: float) -> str:
    if np.isnan(p_value):
        return "-"
    return f"{p_value:.4f}" if p_value >= 1e-4 else "<0.0001"


def _compare(options: argparse.Namespace) -> int:
    from unipool.comparing import compare

    if len(options.scores) < 2:
        raise ValueError("one file of scores; name two or more to compare")
    scored = _read(options)
    table = compare(scored.systems, scored.speaker_of, **_common(options))
    if not options.json:
        for name in ("p_value", "p_corrected"):
            table[name] = [_spell_p(p) for p in table[name]]
        numbers = {name: i for i, name in enumerate(scored.systems, start=1)}
        for name, number in numbers.items():
            say(f"{number}: {name}")
        for side in ("first", "second"):
            table[side] = table[side].map(numbers)
        say(table.to_string(index=False, float_format="{:.4f}".format))
    elif len(options.scores) == 2:
        pair = table.drop(columns=["first", "second"]).set_index("metric")
        pair = pair.rename(columns={"first_value": "first", "second_value": "second"})
        say(as_json(pair.to_dict("index")))
    else:
        say(as_json(table.to_dict("records")))
    return 0
