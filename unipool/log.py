"""What a job says: a log file to read afterwards, the same lines on the terminal."""

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from tqdm import tqdm

from unipool.ending import left_on_sigterm
from unipool.lock import only_writer

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0
"""A log that is read afterwards needs no more, and two jobs share one terminal."""

TAKE_LESS = (
    "take less at once: `train: {batch_size, accumulate}`, or of `machine:` one of"
    " embed_batch_seconds, max_batch_seconds, gpu_memory_gb, memory_gb, jobs_per_gpu"
)
"""The way out when a job's memory does not suffice."""

OUT_OF_MEMORY = ("out of memory", "_ALLOC_FAILED", "unable to find an engine")
"""In errors of torch and its libraries; the last is of a convolution that gets no
memory to work in."""


class LoggedProgress(tqdm):
    """A progress bar whose every refresh is one line of the log.

    A bar that rewrites its line makes a log file unreadable, and two jobs that run at
    the same time would write over each other.
    """

    monitor_interval = 0  # no thread that would only redraw

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        *,
        desc: str,
        unit: str,
        total: float | None = None,
        initial: float = 0,
        disable: bool = False,
    ) -> None:
        super().__init__(
            iterable,
            desc=desc,
            unit=unit,
            total=total,
            initial=initial,
            disable=disable,
            mininterval=SECONDS_BETWEEN_LINES,
            miniters=1,
            file=StringIO(),  # where a bar ends its line; the log has no open one
            bar_format="{desc} {n:.0f}/{total:.0f} {unit}{postfix}, {remaining} left",
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        logger.info(msg or str(self))


def is_out_of_memory(error: Exception) -> bool:
    """Say whether memory did not suffice, that of a GPU or the host's."""
    of_its_own = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return of_its_own or any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def job_log(path: Path | str, job: str) -> Iterator[None]:
    """Send what is logged in the block to a file and, with the job's name, to stderr.

    A mistake of the user's (ValueError, OSError) ends the process with its message
    alone; anything else is a fault of ours and leaves its traceback in the log. SIGTERM
    ends it too, with a message, and what the block holds is let go of.

    A killed Snakemake leaves its running jobs behind; the same job started again waits
    here until they are done, so two never write the same files.

    Writes: ``path``, from its beginning; ``path`` with ``.lock``, which stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter(f"[{job}] %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.handlers = [to_terminal]
    logging.captureWarnings(capture=True)
    with only_writer(path.with_name(path.name + ".lock"), wait=True):
        to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root.handlers = [to_file, to_terminal]
        try:
            with left_on_sigterm(_say_so):
                yield
        except (ValueError, OSError) as error:
            logger.error("error: %s", error)
            sys.exit(1)
        except Exception as error:
            if is_out_of_memory(error):
                logger.error(
                    "error: %s; %s", ". ".join(str(error).split(". ")[:2]), TAKE_LESS
                )
            else:
                logger.exception(
                    "a fault in unipool itself; please report it with this log"
                )
            sys.exit(1)
        finally:
            to_file.close()


def _say_so() -> None:
    logger.error(
        "error: told to end (SIGTERM) before the work is done; what is whole is kept,"
        " and the same job started again goes on from there"
    )
