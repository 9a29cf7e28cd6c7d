"""A corpus that is described by manifests of lhotse.

They are read by lhotse itself, line by line, so any version that it reads will do.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from unipool.audio import SAMPLE_RATE
from unipool.corpora.corpus import Corpus
from unipool.corpora.faults import sentences_of, stop_at

logger = logging.getLogger(__name__)

SUFFIXES = (".jsonl", ".jsonl.gz")

TOLERANCE_SECONDS = 0.001
"""An utterance that leaves out less of its recording is the whole of it."""

OUR_COLUMNS = "utterance speaker path origin start seconds stop".split()
"""Of these names no custom field is taken."""

Faults = defaultdict[str, list[str]]
"""Places, for each sort."""

CHUNK = 10_000
"""Rows that are held as dicts, before they become a table."""

NO_FILE = (
    "utterances are not simply (a part of) an audio file; write them into files with"
    " CutSet.save_audios of lhotse, and name the manifest of what it returns"
)
NO_SPEAKER = (
    "supervisions have no speaker; set `speaker` of each, or remove them from the"
    " manifest"
)
UNKNOWN_RECORDING = "supervisions are of recordings that are not in their manifest"


class Audio(NamedTuple):
    """What of a recording decides how its utterances are read.

    Attributes:
        fault: why it cannot be, empty where it can.
        files: channels and path of each.
        seconds: of the whole recording.
    """

    fault: str
    files: tuple[tuple[list[int], str], ...]
    seconds: float


def list_lhotse(
    *,
    cuts: Path | None = None,
    recordings: Path | None = None,
    supervisions: Path | None = None,
    root: Path | None = None,
) -> Corpus:
    """List the supervisions of a manifest of cuts, or of recordings and supervisions.

    Each supervision is an utterance, also where a cut has several, and has the
    supervision's id. What of a supervision lies outside of its cut is not part of it.
    Cuts and recordings without supervision are told in the log, and left out.

    Args:
        cuts: ``.jsonl`` or ``.jsonl.gz``; or else
        recordings: the same, together with
        supervisions: of these recordings.
        root: what relative paths of audio are relative to; by default the working
            folder, as in lhotse.

    Returns:
        utterance, speaker, path, origin; start and seconds (in s, empty for whole
        recordings) unless all are whole; gender, language and the supervisions' custom
        fields that are text, numbers or booleans, where any has them; a custom
        ``session`` or ``split`` is the utterance's.

    Raises:
        FileNotFoundError: when there is no such manifest.
        ValueError: when lhotse is not installed or cannot read a line, a supervision
            has no speaker or recording, or its audio is no file as it is (a mixture, a
            command, a URL, some channels only, speed changed).
    """
    if find_spec("lhotse") is None:
        raise ValueError(
            "the corpus is described by lhotse; install it with"
            " `pip install 'unipool[lhotse]'` or `pip install lhotse`"
        )
    base = "" if root is None else f"{root}/"
    faults: Faults = defaultdict(list)
    if cuts is not None and recordings is None and supervisions is None:
        rows = _spoken_in_cuts(Path(cuts), base, faults)
    elif cuts is None and recordings is not None and supervisions is not None:
        rows = _spoken_in_recordings(Path(recordings), Path(supervisions), base, faults)
    else:
        raise ValueError(
            "name either `cuts`, or both `recordings` and `supervisions`, under the"
            " options of a corpus of kind lhotse"
        )
    chunks = [
        pd.DataFrame(chunk) for chunk in iter(lambda: list(islice(rows, CHUNK)), [])
    ]
    for fault, places in faults.items():
        stop_at(places, fault)
    if not chunks:
        raise ValueError(f"{cuts or supervisions}: no supervisions, so no utterances")
    utterances = pd.concat(chunks, ignore_index=True).fillna("")
    if not (utterances[["start", "seconds"]] != "").any(axis=None):
        utterances = utterances.drop(columns=["start", "seconds"])
    return Corpus(utterances)


def _spoken_in_cuts(file: Path, base: str, faults: Faults) -> Iterator[dict[str, str]]:
    silent = []
    for origin, cut in _items(file, "MonoCut", "MultiCut", "MixedCut"):
        if type(cut).__name__ == "MixedCut":
            faults[NO_FILE].append(f"{origin}: cut {cut.id}: mixed or padded")
        elif not cut.has_recording:
            faults[NO_FILE].append(f"{origin}: cut {cut.id}: features alone")
        else:
            audio = _audio(cut.recording, base)
            if not cut.supervisions:
                silent.append(cut.id)
            for supervision in cut.supervisions:
                start = cut.start + max(supervision.start, 0.0)
                end = cut.start + min(supervision.end, cut.duration)
                yield from _row(origin, supervision, audio, start, end, faults)
    _tell_silent(file, silent)


def _spoken_in_recordings(
    recordings: Path, supervisions: Path, base: str, faults: Faults
) -> Iterator[dict[str, str]]:
    audio_of = {
        recording.id: _audio(recording, base)
        for _, recording in _items(recordings, "Recording")
    }
    spoken = set()
    for origin, supervision in _items(supervisions, "SupervisionSegment"):
        name = supervision.recording_id
        if name not in audio_of:
            faults[UNKNOWN_RECORDING].append(
                f"{origin}: recording {name} of {supervision.id}"
            )
            continue
        spoken.add(name)
        times = supervision.start, supervision.end
        yield from _row(origin, supervision, audio_of[name], *times, faults)
    _tell_silent(recordings, [name for name in audio_of if name not in spoken])


def _tell_silent(file: Path, silent: list[str]) -> None:
    for sentence in sentences_of(silent, "without supervision are left out"):
        logger.warning("%s: %s", file, sentence)


def _items(file: Path, *kinds: str) -> Iterator[tuple[str, Any]]:
    """Read a manifest: the place of each item, and the item."""
    from lhotse import CutSet, RecordingSet, SupervisionSet

    if not file.exists():
        raise FileNotFoundError(f"{file}: no such manifest")
    if not file.name.endswith(SUFFIXES):
        raise ValueError(
            f"{file}: not {' or '.join(SUFFIXES)}; convert it with `lhotse copy`"
        )
    of_kind = {"Recording": RecordingSet, "SupervisionSegment": SupervisionSet}
    items = iter(of_kind.get(kinds[0], CutSet).from_jsonl_lazy(file))
    for number in count(1):
        try:
            item = next(items, None)
        except Exception as error:
            raise ValueError(
                f"{file}:{number}: lhotse cannot read it"
                f" ({type(error).__name__}: {error})"
            ) from error
        if item is None:
            return
        if type(item).__name__ not in kinds:
            raise ValueError(
                f"{file}:{number}: {type(item).__name__}, needed is"
                f" {' or '.join(kinds)}"
            )
        yield f"{file}:{number}", item


def _audio(recording: Any, base: str) -> Audio:
    files, fault = [], ""
    for source in recording.sources:
        if source.type != "file":
            return Audio(f"of type {source.type}", (), 0.0)
        path = str(source.source)
        path = path if path.startswith("/") else base + path
        files.append((sorted(source.channels), path))
    for transform in recording.transforms or ():
        name = type(transform).__name__
        # All is brought to 16 kHz here: an earlier rate that is higher changes nothing.
        if name != "Resample" or transform.target_sampling_rate < SAMPLE_RATE:
            fault = f"changed by {name} when it is loaded"
    return Audio(fault, tuple(files), recording.duration)


def _row(
    origin: str,
    supervision: Any,
    audio: Audio,
    start: float,
    end: float,
    faults: Faults,
) -> Iterator[dict[str, str]]:
    """Give the utterance, or nothing and note what is wrong with it."""
    place = f"{origin}: {supervision.id}"
    given = supervision.channel
    channels = [given] if isinstance(given, int) else sorted(given)
    # CutSet.save_audios writes one channel, and leaves the supervision its number.
    mono = sum(len(of_file) for of_file, _ in audio.files) == 1
    paths = [path for of_file, path in audio.files if mono or of_file == channels]
    if audio.fault:
        faults[NO_FILE].append(f"{place}: {audio.fault}")
    elif not paths:
        told = ", ".join(f"{path} has {of_file}" for of_file, path in audio.files)
        faults[NO_FILE].append(f"{place}: channels {channels} alone; {told}")
    elif not supervision.speaker:
        faults[NO_SPEAKER].append(place)
    else:
        whole = (
            start < TOLERANCE_SECONDS and abs(end - audio.seconds) < TOLERANCE_SECONDS
        )
        yield {
            "utterance": str(supervision.id),
            "speaker": str(supervision.speaker),
            "path": paths[0],
            "start": "" if whole else str(round(start, 7)),
            "seconds": "" if whole else str(round(end - start, 7)),
            **_metadata(supervision),
            "origin": origin,
        }


def _metadata(supervision: Any) -> dict[str, str]:
    stated = {"gender": supervision.gender, "language": supervision.language}
    fields = stated | (supervision.custom or {})
    return {
        name: str(value)
        for name, value in fields.items()
        if isinstance(value, (str, int, float)) and name not in OUR_COLUMNS
    }
