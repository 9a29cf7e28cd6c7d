"""One writer at a time for what two processes might write."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)


@contextmanager
def only_writer(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file, which the operating system lets go of when its holder dies.

    Args:
        path: of the lock; beside it, ``.holder`` says who has it.
        wait: for another process that holds it, or else stop.

    Raises:
        ValueError: when another process holds it; it names host and process.
    """
    lock = FileLock(path)
    holder = path.with_name(path.name + ".holder")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        name = _read(holder) or "another process"
        if not wait:
            raise ValueError(
                f"{path}: {name} writes this already; wait until it is done, or end it"
            ) from None
        logger.info("waiting for %s, which works on this (%s)", name, path)
        lock.acquire()
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text("utf-8")
    except OSError:  # it has just let go, or this node sees its note later
        return ""
