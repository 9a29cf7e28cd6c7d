"""``unipool metrics`` and ``unipool compare``."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_measures(commands: Any) -> None:
    """Add both to the parser's commands."""
    for name, run, files, text in (
        ("metrics", _metrics, 1, "error rates of scored trials, with 95 %% intervals"),
        ("compare", _compare, 2, "is the second system better than the first, really?"),
    ):
        measuring = commands.add_parser(
            name,
            help=text,
            description="Reads scores of any toolkit: a CSV whose header has score and"
            " target, or lines of `enrolment test score`, with or without a label.",
        )
        measuring.add_argument("scores", nargs=files, type=Path, metavar="SCORES")
        measuring.add_argument(
            "--trials", type=Path, help="list with the labels, if scores have none"
        )
        measuring.add_argument(
            "--manifest",
            type=Path,
            help="CSV with utterance and speaker; without it, intervals are too narrow",
        )
        measuring.add_argument("--json", action="store_true", help="print JSON")
        measuring.set_defaults(run=run)


def _metrics(options: argparse.Namespace) -> int:
    # Here, not above: scipy takes its time to import.
    from unipool.measuring import measure
    from unipool.scored import read_scored, speakers_of

    trials = read_scored(options.scores[0], options.trials)
    measured = measure(trials, speakers_of(trials, options.manifest))
    if options.json:
        _print(json.dumps(measured))
        return 0
    for name, value in measured.items():
        if f"{name}_low" in measured:
            low, high = measured[f"{name}_low"], measured[f"{name}_high"]
            _print(f"{name:12} {value:.4f} [{low:.4f}, {high:.4f}]")
        elif name.startswith("num_"):
            _print(f"{name:12} {value:,}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from unipool.comparing import compare
    from unipool.scored import read_scored, speakers_of

    first, second = (read_scored(file, options.trials) for file in options.scores)
    compared = compare(first, second, speakers_of(first, options.manifest))
    if options.json:
        _print(json.dumps(compared.set_index("metric").to_dict("index")))
    else:
        _print(compared.to_string(index=False, float_format="{:.4f}".format))
    return 0


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201
