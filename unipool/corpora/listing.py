"""Find the audio below a folder: quickly, and whatever else lies there."""

import os
from collections.abc import Iterator
from pathlib import Path

from unipool.audio import SUFFIXES


def find_audio(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[str]:
    """Give each audio file's path below ``root``, with ``/``, in order.

    Hidden files and folders (``._*`` among them) are left out. Extensions may be upper
    case. Symbolic links are followed, but into no folder that they are themselves in.

    Args:
        root: folder to look through.
        suffixes: extensions that are audio, in lower case, with their dot.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    yield from _below(str(root), "", suffixes, (os.path.realpath(root),))


def _below(
    folder: str, prefix: str, suffixes: tuple[str, ...], real_paths: tuple[str, ...]
) -> Iterator[str]:
    """Give what is in one folder; ``real_paths`` are its own and those above it."""
    with os.scandir(folder) as entries:
        found = sorted(
            (entry for entry in entries if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )
    for entry in found:
        if _is_folder(entry):
            real = f"{real_paths[-1]}/{entry.name}"
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
            if real not in real_paths:
                name = f"{prefix}{entry.name}/"
                yield from _below(entry.path, name, suffixes, (*real_paths, real))
        elif entry.name.lower().endswith(suffixes):
            yield prefix + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; it is told where it is opened
        return False
