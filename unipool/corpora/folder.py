"""A corpus that is nothing but a folder for each speaker."""

import os
from pathlib import Path

import pandas as pd

from unipool.audio import SUFFIXES


def list_folder(*, root: Path) -> pd.DataFrame:
    """List ``<root>/<speaker>/**/*.{wav,flac,ogg,mp3,m4a}``.

    The id of an utterance is its path below the root, without extension. Hidden files
    (``._*`` among them) are left out, symbolic links are followed.

    Args:
        root: folder with one folder for each speaker.

    Returns:
        utterance, speaker, path, origin, in the order of the paths.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; it should hold the speakers")
    rows = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            below = path.relative_to(root)
            audio = path.suffix.lower() in SUFFIXES and not name.startswith(".")
            if audio and len(below.parts) > 1:
                rows.append(
                    (below.with_suffix("").as_posix(), below.parts[0], str(path))
                )
    if not rows:
        raise FileNotFoundError(
            f"{root}: no audio; looked for <speaker>/**/*"
            f" with {', '.join(SUFFIXES)} in it"
        )
    corpus = pd.DataFrame(rows, columns=["utterance", "speaker", "path"])
    return corpus.assign(origin=corpus["path"]).sort_values("path", ignore_index=True)
