"""``unipool embed`` and ``unipool verify``."""

import argparse
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unipool.cli.printing import as_json, say, warn
from unipool.ending import left_on_sigterm

RUN = (
    "RUN is the folder of a finished run, such as"
    " results/runs/demo/tiny-wavlm/unipool/seed-0. Files are audio of any format, or"
    " folders of it."
)

HDF5 = (".h5", ".hdf5")
"""How the name of what is written ends: so no recording is written over."""


def add_applying(commands: Any) -> None:
    """Add both to the parser's commands."""
    embedding = commands.add_parser(
        "embed",
        help="embeddings of your own audio files by a trained run",
        description="Embed audio files with a trained run. " + RUN,
    )
    embedding.add_argument("run_folder", type=Path, metavar="RUN")
    embedding.add_argument("files", nargs="+", type=Path, metavar="FILE")
    embedding.add_argument(
        "--output",
        type=Path,
        default=Path("embeddings.h5"),
        metavar="FILE",
        help="HDF5 to write, see docs/embeddings.md (default: %(default)s)",
    )
    embedding.set_defaults(run=_embed)
    verifying = commands.add_parser(
        "verify",
        help="is it the same speaker? audio files against an enrolment",
        description="Compare audio files with an enrolment, which may be several files"
        " of one speaker. " + RUN,
    )
    verifying.add_argument("run_folder", type=Path, metavar="RUN")
    for option, text in (
        ("--enrol", "audio of the speaker"),
        ("--test", "audio of which each file is compared with it"),
    ):
        verifying.add_argument(
            option, nargs="+", type=Path, required=True, metavar="FILE", help=text
        )
    verifying.add_argument("--json", action="store_true", help="print JSON")
    verifying.set_defaults(run=_verify)
    for command in (embedding, verifying):
        command.add_argument(
            "--backbone",
            type=Path,
            metavar="FOLDER",
            help="of the run's backbone (default: the one in the same results)",
        )
        command.add_argument(
            "--device",
            choices=("auto", "cpu", "cuda"),
            default="auto",
            help="default: a GPU where there is one",
        )


@contextmanager
def _left_tidily() -> Iterator[None]:
    """Remove what lies in temporary folders also when told to end, or left alone."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with left_on_sigterm(lambda: warn("told to end before the work was done")):
        yield


def _embed(options: argparse.Namespace) -> int:
    # Here, not above: torch takes seconds to import.
    from unipool.applying import embed_files
    from unipool.embeddings import write_embeddings

    if options.output.suffix not in HDF5 or options.output.is_dir():
        raise ValueError(
            f"--output {options.output}: name a file that ends in {' or '.join(HDF5)}"
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with _left_tidily():
        content = embed_files(
            options.run_folder,
            options.files,
            backbone=options.backbone,
            device=options.device,
        )
        write_embeddings(options.output, content)
    count, size = content.embeddings.shape
    say(f"{options.output}: {count} embeddings of {size} values")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from unipool.applying import verify_files

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with _left_tidily():
        found = verify_files(
            options.run_folder,
            options.enrol,
            options.test,
            backbone=options.backbone,
            device=options.device,
        )
    unknown = [None] * len(found.test)
    rows = [
        {"test": name, "score": float(score), "llr": ratio, "same": same}
        for name, score, ratio, same in zip(
            found.test,
            found.scores,
            unknown if found.llr is None else found.llr.tolist(),
            unknown if found.same is None else found.same.tolist(),
            strict=True,
        )
    ]
    reference = found.reference
    if options.json:
        chosen = None if reference is None else reference._asdict()
        if chosen is not None:
            del chosen["calibration"]
        say(as_json({"enrolment": found.enrolment, "reference": chosen, "tests": rows}))
        return 0
    for row in rows:
        say(_sentence(row))
    if reference is None:
        warn(
            "scores, but no decision: it takes the run's validation trials, and their"
            " embeddings by the run as it is now, and one of these is missing; for a"
            " run of the project, `snakemake --cores all <run>/metrics/<trials>.json"
            " --forcerun embed` makes both, from the cache"
        )
    else:
        say(
            f"The same from {reference.threshold:.3f} on: there both errors are equal"
            f" on {reference.trials}, {reference.eer:.1%}. llr: natural logarithm of"
            " how much more probable the score is of one speaker than of two."
        )
    return 0


def _sentence(row: dict[str, Any]) -> str:
    told = f"score {row['score']:.3f}"
    if row["same"] is not None:
        verdict = "the same speaker" if row["same"] else "another speaker"
        told = f"{verdict}, {told}, llr {row['llr']:.2f}"
    return f"{row['test']}: {told}"
