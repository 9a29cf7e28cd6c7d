"""Who trains, who validates, who tests: whole speakers, listed or drawn from a seed."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unipool.manifest import SPLITS

FAULTS_SHOWN = 10

MIN_SPEAKERS = 2
"""Of a split: one alone has nobody to be told from."""


def speakers_with_little(
    rows: pd.DataFrame, *, min_utterances: int = 1, min_seconds: float = 0.0
) -> pd.Series:
    """Say of each row what its speaker lacks; nothing where it has enough.

    Args:
        rows: utterances, with ``speaker`` and ``seconds``.
        min_utterances: of a speaker.
        min_seconds: of a speaker's utterances together.
    """
    of_speaker = rows.groupby("speaker")["seconds"]
    counts, seconds = of_speaker.transform("size"), of_speaker.transform("sum")
    reasons = pd.Series("", index=rows.index)
    few = counts < min_utterances
    short = seconds < min_seconds
    reasons[short] = [
        f"its speaker has {s:.1f} s, fewer than {min_seconds:g} s"
        for s in seconds[short]
    ]
    reasons[few] = [
        f"its speaker has {n} utterances, fewer than {min_utterances}"
        for n in counts[few]
    ]
    return reasons


def read_split(file: Path) -> pd.Series:
    """Read a list of speakers: a CSV with the columns ``speaker`` and ``split``.

    Returns:
        The split of each speaker.

    Raises:
        ValueError: when it is no such list, or has a speaker twice.
    """
    try:
        table = pd.read_csv(
            file, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except ValueError as error:
        raise ValueError(f"{file}: not a UTF-8 CSV ({str(error).strip()})") from error
    missing = [column for column in ("speaker", "split") if column not in table]
    if missing:
        raise ValueError(
            f"{file}: no column {missing[0]} among {', '.join(table)}; needed are"
            f" speaker and split, which is {', '.join(SPLITS)}"
        )
    if table.empty:
        raise ValueError(f"{file}: no speakers")
    wrong = table[table["speaker"].duplicated() | ~table["split"].isin(SPLITS)]
    if len(wrong):
        told = ", ".join(
            f"line {row.Index + 2}: {row.speaker} {row.split!r}"
            for row in wrong[:FAULTS_SHOWN].itertuples()
        )
        raise ValueError(
            f"{file}: {len(wrong)} lines have a speaker of an earlier line, or a split"
            f" that is none of {', '.join(SPLITS)}: {told}"
        )
    return table.set_index("speaker")["split"]


def divide(rows: pd.DataFrame, split: dict[str, Any] | None) -> pd.Series:
    """Give each row its split: the corpus's own, and what is drawn.

    Drawn are speakers that the corpus leaves open or lets train, so a corpus that has a
    test set of its own can be given a validation set. The order of the rows does not
    matter. Stratified, each combination of values has its share of each split as nearly
    as whole speakers allow, and who is alone in a combination trains (the rule that the
    published split of VCTK follows).

    Args:
        rows: utterances: speaker, perhaps split (empty where open), and metadata.
        split: ``valid`` and ``test``, numbers of speakers or shares (below 1) of those
            that can be drawn; ``seed``; ``stratify``, columns of the metadata.

    Raises:
        ValueError: when nothing says who trains, a split would be too small, is there
            already, or a column cannot be used.
    """
    own = rows["split"] if "split" in rows else pd.Series("", index=rows.index)
    if split is None:
        if (own == "").any():
            raise ValueError(
                "the corpus does not say which speakers train; add to its definition,"
                " for example, `split: {valid: 0.1, test: 0.2, seed: 0}` (shares or"
                " numbers of speakers), or a split column"
            )
        return own
    asked = [name for name in ("valid", "test") if split.get(name)]
    for name in asked:
        if (own == name).any():
            raise ValueError(
                f"the corpus has {name} speakers of its own; remove `{name}:` from its"
                " `split:`, or the split column from the corpus"
            )
    open_rows = rows[own.isin(["", "train"])]
    order = _order(open_rows, split.get("stratify", []), int(split["seed"]))
    counts = {
        name: round(split[name] * len(order)) if split[name] < 1 else int(split[name])
        for name in asked
    }
    left = len(order) - sum(counts.values())
    if asked and min([*counts.values(), left]) < MIN_SPEAKERS:
        told = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise ValueError(
            f"{len(order)} speakers make {left} to train, {told}; each needs at least"
            f" {MIN_SPEAKERS}: change `split:` of the corpus"
        )
    return own.where(
        ~own.isin(["", "train"]), rows["speaker"].map(_deal(order, counts))
    )


def _order(rows: pd.DataFrame, stratify: list[str], seed: int) -> pd.Series:
    """Put speakers into a drawn order, those of a stratum together.

    Returns:
        The stratum of each speaker; none for who is alone in one.
    """
    unknown = [column for column in stratify if column not in rows]
    if unknown:
        raise ValueError(
            f"split.stratify: no column {unknown[0]!r} in the corpus; it has"
            f" {', '.join(rows)}"
        )
    if "speaker" in stratify:
        raise ValueError("split.stratify: a speaker is in one split; name metadata")
    values = rows[["speaker", *stratify]].drop_duplicates()
    several = values[values["speaker"].duplicated()]["speaker"]
    if len(several):
        raise ValueError(
            f"split.stratify: {several.nunique()} speakers have several values in"
            f" {', '.join(stratify)}, for example {several.iloc[0]}; stratify on what"
            " belongs to the speaker"
        )
    # Each speaker has a place of his own, so one more speaker moves few others.
    places = [
        hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
        for name in values["speaker"]
    ]
    values = values.iloc[np.argsort(places)]
    if stratify:
        values = values.sort_values(stratify, kind="stable")
    strata = ["\t".join(row) for row in values[stratify].to_numpy()]
    strata = pd.Series(strata, index=values["speaker"], dtype=str)
    if not stratify:
        return strata
    return strata.where(strata.duplicated(keep=False))


def _deal(strata: pd.Series, counts: dict[str, int]) -> dict[str, str]:
    """Deal the speakers out in their order, evenly to each split.

    In one stratum alone neighbours go together. Else who comes next goes where most is
    missing of what is due by now, so neighbours, of one stratum, are divided in the
    proportions of the whole.
    """
    together = strata.index[strata.notna()]
    if len(together) < sum(counts.values()):
        together = strata.index
    quotas = counts | {"train": len(together) - sum(counts.values())}
    names = list(quotas)
    sizes = np.array(list(quotas.values()))
    dealt = np.zeros(len(names), int)
    split_of = dict.fromkeys(strata.index, "train")
    if strata[together].nunique() <= 1:
        return split_of | dict(zip(together, np.repeat(names, sizes), strict=True))
    for place, speaker in enumerate(together, start=1):
        due = np.where(dealt < sizes, sizes * place / len(together) - dealt, -np.inf)
        taker = int(np.argmax(due))
        dealt[taker] += 1
        split_of[speaker] = names[taker]
    return split_of
