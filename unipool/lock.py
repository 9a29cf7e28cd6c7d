"""One writer at a time for what two processes might write."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold a lock file, after waiting for the process that holds it now.

    The operating system lets go of the lock when its holder dies.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("waiting for another process that works on this (%s)", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
