"""VCTK: about 110 readers of English with various accents, studio recordings.

Source: Veaux, Yamagishi, MacDonald, "CSTR VCTK Corpus", University of Edinburgh,
versions 0.80 (https://doi.org/10.7488/ds/1994) and 0.92
(https://doi.org/10.7488/ds/2645); the division of its speakers is that of UniPool
(https://github.com/sadPororo/UniPool-SV, MIT).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from unipool.corpora.corpus import Corpus, Stated
from unipool.corpora.faults import sentences_of
from unipool.corpora.listing import find_audio
from unipool.corpora.published import choose_copies, find_home, nothing_found

FOLDERS = ("wav48", "wav48_silence_trimmed")
"""Of the audio: in 0.80, and in 0.92."""

NAME = re.compile(r"(([ps]\d+)_(\d+))(?:_(mic[12]))?")
"""Of a recording: utterance, of it speaker and number; microphone, none is mic1."""

LEFT_OUT = "p315"
"""The speaker whose texts were lost, in none of the published lists."""

WITHOUT_MIC2 = "p280"
"""The speaker of whom 0.92 has no recordings with the second microphone."""

SHARED_PROMPTS = 24
"""How many utterances, from 001 on, have a text that all speakers read."""

FEW = 0.9
"""Share of the published number below which a speaker is told to be incomplete."""

METADATA = ("age", "gender", "accent", "region")
AGE_BANDS, COUNT_BANDS = 3, 2


def list_vctk(*, root: Path, mic: str = "mic1", published_split: bool = True) -> Corpus:
    """List ``wav48/pNNN/pNNN_MMM.wav`` or 0.92's ``pNNN_MMM_mic1.flac``.

    Utterances 001 to 024 are left out, because all speakers read the same texts there,
    and the speaker p315.

    A speaker is told to be incomplete when he has fewer than nine tenths of the
    utterances that he must have: those of version 0.80, less 24. That is a lower
    bound, because hardly any speaker read all of the 24; and 0.92, in which silence was
    trimmed and some recordings were dropped, has somewhat fewer.

    Args:
        root: folder with ``wav48`` or ``wav48_silence_trimmed``, or the one above it.
        mic: which of 0.92's microphones: ``mic1`` or ``mic2``.
        published_split: take UniPool's 108 speakers, with its split into 72, 18 and
            18; else all speakers, without a split.

    Returns:
        utterance (without microphone), speaker, path, origin, perhaps split; age,
        gender, accent and region as in speaker-info.txt, empty where it says nothing;
        age_band and count_band: bins of equal width of the age and of the number of
        utterances.

    Raises:
        FileNotFoundError: when there is no such folder, or no audio of this layout.
        ValueError: when there are both layouts, or no such microphone.
    """
    folder = _audio_folder(Path(root), mic)
    info = folder.parent / "speaker-info.txt"
    recordings = _list_recordings(folder)
    published = pd.read_csv(
        Path(__file__).with_name("vctk_speakers.csv"), index_col="speaker"
    )
    speakers = _read_speakers(info) if info.exists() else _no_speakers()
    expected = published.index if published_split else speakers.index
    excepted = {LEFT_OUT, WITHOUT_MIC2} if mic == "mic2" else {LEFT_OUT}
    expected = expected[~expected.isin(excepted)]
    taken = recordings["speaker"] != LEFT_OUT
    if published_split:
        taken &= recordings["speaker"].isin(published.index)
    recordings = recordings[taken]
    with_mic = recordings["mic"] == mic
    rows = recordings[with_mic].drop(columns="mic").reset_index(drop=True)
    if rows.empty:
        whom = "the published speakers" if published_split else "any speaker"
        raise nothing_found(folder, f"recording of {whom} with {mic}")
    if published_split:
        rows["split"] = rows["speaker"].map(published["split"])
    missing = (
        *_lacking_speakers(rows, expected, info),
        *_lacking_utterances(rows, published["utterances"]),
        *_lacking_microphone(recordings, rows, mic),
    )
    stated = (Stated(speakers=len(expected)),) if len(expected) else ()
    return Corpus(_with_metadata(rows, speakers), stated, missing)


def _audio_folder(root: Path, mic: str) -> Path:
    """Find the folder with the speakers' folders."""
    if mic not in ("mic1", "mic2"):
        raise ValueError(f"mic is {mic!r}; it should be mic1 or mic2")
    home = find_home(root, FOLDERS)
    folders = [home / name for name in FOLDERS if (home / name).is_dir()]
    if len(folders) > 1:
        raise ValueError(
            f"{home}: holds both {' and '.join(FOLDERS)}, of versions 0.80 and 0.92;"
            " name a folder that holds one of them (links will do)"
        )
    if mic == "mic2" and folders[0].name == "wav48":
        raise ValueError(
            f"{home}: version 0.80 has one microphone; set mic: mic1, or name a root"
            f" with {FOLDERS[1]}"
        )
    return folders[0]


def _list_recordings(folder: Path) -> pd.DataFrame:
    """Give utterance, speaker, mic, path, origin of each recording but 001 to 024."""
    found = []
    for name in find_audio(folder):
        match = NAME.fullmatch(name.rpartition("/")[2].rpartition(".")[0])
        if match and int(match[3]) > SHARED_PROMPTS:
            found.append((match[1], match[2], match[4] or "mic1", f"{folder}/{name}"))
    if not found:
        raise nothing_found(
            folder, "pNNN/pNNN_MMM.wav or pNNN/pNNN_MMM_mic1.flac with MMM above 024"
        )
    rows = pd.DataFrame(found, columns=["utterance", "speaker", "mic", "path"])
    keys = (rows["utterance"] + rows["mic"]).tolist()
    rows = rows.iloc[choose_copies(keys, rows["path"].tolist())]
    return rows.assign(origin=rows["path"])


def _no_speakers() -> pd.DataFrame:
    return pd.DataFrame(columns=METADATA, dtype=str)


def _read_speakers(file: Path) -> pd.DataFrame:
    """Read speaker-info.txt.

    Its fields are divided by blanks, some are missing, the region is of several words
    or none, and a remark in brackets may follow.

    Returns:
        age, gender, accent, region, by speaker; empty where it says nothing.
    """
    speakers = {}
    for line in file.read_text("utf-8-sig", errors="replace").splitlines():
        words = line.partition("(")[0].split()
        if not words or words[0] == "ID":
            continue
        speaker = f"p{words[0]}" if words[0].isdigit() else words[0]
        rest = words[1:]
        age = rest.pop(0) if rest and rest[0].isdigit() else ""
        gender = rest.pop(0) if rest and rest[0] in ("F", "M") else ""
        accent = rest.pop(0) if rest else ""
        if rest and rest[0] == "English":  # of "Australian English", "NewZealand ..."
            rest.pop(0)
        speakers[speaker] = (age, gender, accent, " ".join(rest))
    return pd.DataFrame.from_dict(speakers, orient="index", columns=METADATA, dtype=str)


def _with_metadata(rows: pd.DataFrame, speakers: pd.DataFrame) -> pd.DataFrame:
    """Add what is known of each utterance's speaker."""
    counts = rows["speaker"].value_counts()
    known = speakers.reindex(counts.index).fillna("")
    known["age_band"] = _bands(pd.to_numeric(known["age"]), AGE_BANDS)
    known["count_band"] = _bands(counts, COUNT_BANDS)
    return rows.assign(**{name: rows["speaker"].map(known[name]) for name in known})


def _bands(values: pd.Series, number: int) -> pd.Series:
    """Put whole numbers into bins of equal width, named by the first and last of each.

    Returns:
        Names such as ``18-24``; empty where the value is missing.
    """
    known = values.dropna()
    if known.empty:
        return pd.Series("", index=values.index)
    edges = np.linspace(known.min(), known.max(), number + 1)
    first = [int(edges[0]), *(int(edge) + 1 for edge in edges[1:-1])]
    names = [f"{a}-{int(b)}" for a, b in zip(first, edges[1:], strict=True)]
    bands = [names[band] for band in np.searchsorted(edges[1:-1], known)]
    return pd.Series(bands, index=known.index).reindex(values.index, fill_value="")


def _lacking_speakers(
    rows: pd.DataFrame, expected: pd.Index, info: Path
) -> tuple[str, ...]:
    absent = sorted(set(expected).difference(rows["speaker"]))
    no_table = (f"no {info}, so ages, genders and accents are unknown",)
    return (
        *(() if info.exists() else no_table),
        *sentences_of(absent, "speakers have no utterance"),
    )


def _lacking_utterances(rows: pd.DataFrame, published: pd.Series) -> tuple[str, ...]:
    counts = rows["speaker"].value_counts().sort_index()
    needed = published.reindex(counts.index) - SHARED_PROMPTS
    few = counts[counts < FEW * needed]
    return sentences_of(
        [f"{speaker} ({n} of {needed[speaker]:.0f})" for speaker, n in few.items()],
        f"speakers have fewer than {FEW:.0%} of their utterances",
    )


def _lacking_microphone(
    recordings: pd.DataFrame, rows: pd.DataFrame, mic: str
) -> tuple[str, ...]:
    lacking = recordings[~recordings["utterance"].isin(rows["utterance"])]
    lacking = lacking[(lacking["speaker"] != WITHOUT_MIC2) | (mic == "mic1")]
    return sentences_of(
        lacking["utterance"].tolist(),
        f"utterances are there with the other microphone, but not with {mic}",
    )
