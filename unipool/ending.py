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
    collector, and SIGTERM may come there: it is raised again until it is heeded. What
    is tidying up, to leave or since a generator is closed, is not interrupted.
    """
    told = False

    def leave() -> None:
        nonlocal told
        if told:
            return
        told = True
        announce()
        signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN, SECONDS_UNTIL_AGAIN)
        leave_now()

    def leave_now(number: int = 0, frame: FrameType | None = None) -> None:
        if not _is_tidying_up():
            sys.exit(1)

    before = signal.signal(signal.SIGALRM, leave_now)
    try:
        with on_sigterm(leave):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_tidying_up() -> bool:
    """Say whether a block or a generator is left at present, be it for an error."""
    handled = sys.exception()
    while handled is not None:
        if isinstance(handled, SystemExit | GeneratorExit):
            return True
        handled = handled.__context__
    return False
