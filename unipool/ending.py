"""How a job ends that is told to end before its work is done.

Schedulers send SIGTERM some time before they kill a job: its time is nearly over, or
somebody cancelled it.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_UNTIL_AGAIN = 1.0


@contextmanager
def on_sigterm(react: Callable[[], None]) -> Iterator[None]:
    """Call ``react`` at SIGTERM while the block runs, in place of dying at once.

    To be used in the main thread, where Python handles signals: between two of its
    instructions, so a long call of a library comes to its end first.
    """
    before = signal.signal(signal.SIGTERM, lambda number, frame: react())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def left_on_sigterm(announce: Callable[[], None]) -> Iterator[None]:
    """Leave the block at SIGTERM, by SystemExit, once ``announce`` was called.

    Python drops what is raised within a destructor or a callback of the garbage
    collector, and SIGTERM may come there: it is raised again until it is heeded.
    """

    def leave() -> None:
        if _is_leaving():
            return
        announce()
        signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN, SECONDS_UNTIL_AGAIN)
        sys.exit(1)

    def leave_at_last(number: int, frame: FrameType | None) -> None:
        if not _is_leaving():
            sys.exit(1)

    before = signal.signal(signal.SIGALRM, leave_at_last)
    try:
        with on_sigterm(leave):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_leaving() -> bool:
    """Say whether what is left at present (a block, a generator) is tidying up."""
    return isinstance(sys.exception(), SystemExit | GeneratorExit)
