"""How a job ends that is told to end before its work is done.

Schedulers send SIGTERM some time before they kill a job: its time is nearly over, or
somebody cancelled it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
