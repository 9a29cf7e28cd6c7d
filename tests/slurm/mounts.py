"""One folder as several nodes see it, each of them through a file system of its own.

It needs root, /dev/fuse and Debian's package bindfs. Locks hold between the nodes. A
node may believe for some seconds what it saw of names and sizes, and that a file is not
there; unlike on NFS nothing makes it look again, not even that it opens the file.
"""

import os
import shutil
import subprocess
from pathlib import Path

SECONDS = 3
"""For so long a node believes what it saw; by default NFS does for 3 to 60."""


def obstacle() -> str | None:
    """Say why there can be none here, if so."""
    if shutil.which("bindfs") is None:
        return "bindfs: not installed (make test-slurm installs it)"
    if os.geteuid() != 0:
        return "mounts of our own take root"
    if not Path("/dev/fuse").exists():
        return "this machine cannot mount through FUSE (/dev/fuse)"
    return None


class Node:
    """Mounts a folder in a ``with`` block.

    Args:
        folder: that all nodes see.
        at: where this one sees it.
        late: whether it believes what it saw.
    """

    def __init__(self, folder: Path, at: Path, *, late: bool) -> None:
        self.folder, self.at = folder, at
        self.seconds = SECONDS if late else 0

    def __enter__(self) -> Path:
        self.at.mkdir()
        seconds = [
            f"{what}_timeout={self.seconds}" for what in ("entry", "attr", "negative")
        ]
        subprocess.run(
            [
                *("bindfs", "--multithreaded", "--enable-lock-forwarding"),
                *("-o", ",".join([*seconds, "auto_cache"])),
                *(self.folder, self.at),
            ],
            check=True,
        )
        return self.at

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.at], check=True)
