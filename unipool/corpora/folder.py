"""A corpus that is nothing but a folder for each speaker."""

import logging
from pathlib import Path

import pandas as pd

from unipool.audio import SUFFIXES
from unipool.corpora.corpus import Corpus
from unipool.corpora.listing import find_audio

logger = logging.getLogger(__name__)


def list_folder(*, root: Path) -> Corpus:
    """List ``<root>/<speaker>/**/*`` that is audio by its extension.

    The id of an utterance is its path below the root, without extension. A folder of a
    speaker's folder is a session. Hidden files (``._*`` among them) are left out,
    symbolic links are followed.

    Args:
        root: folder with one folder for each speaker.

    Returns:
        utterance, speaker, path, origin, in the order of the paths; session where there
        are folders in speakers' folders.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; it should hold the speakers")
    audio = list(find_audio(root))
    found = [name for name in audio if "/" in name]
    if not found:
        raise FileNotFoundError(
            f"{root}: no audio; looked for <speaker>/**/*"
            f" with {', '.join(SUFFIXES)} in it"
        )
    if len(found) < len(audio):
        logger.warning(
            "%s: %d recordings are in no speaker's folder, so not taken: %s ...",
            root,
            len(audio) - len(found),
            next(name for name in audio if "/" not in name),
        )
    places = [name.split("/") for name in found]
    utterances = pd.DataFrame(
        {
            "utterance": [name.rpartition(".")[0] for name in found],
            "speaker": [place[0] for place in places],
            "session": ["/".join(place[1:-1]) for place in places],
            "path": [f"{root}/{name}" for name in found],
        }
    )
    if not utterances["session"].any():
        del utterances["session"]
    return Corpus(utterances.assign(origin=utterances["path"]))
