"""The trial list: which pairs of utterances are compared, a CSV file.

enrolment   id of an utterance
test        id of another utterance of the same split of the same corpus
target      1 when both are of one speaker, else 0
...         any further columns are conditions

UTF-8, with a header. docs/trials.md is the specification.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from jaxtyping import Int64

COLUMNS = ("enrolment", "test", "target")


def read_trials(path: Path) -> pd.DataFrame:
    """Read a trial list; ids and conditions are text, ``target`` is 0 or 1.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when columns are missing, rows are wrong, or there is no row.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such trial list")
    try:
        trials = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except ValueError as error:
        raise ValueError(f"{path}: not a UTF-8 CSV ({str(error).strip()})") from error
    missing = [column for column in COLUMNS if column not in trials]
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)} among {', '.join(trials)}"
        )
    if trials.empty:
        raise ValueError(f"{path}: no trials")
    wrong = ~trials["target"].isin(["0", "1"]) | (trials[list(COLUMNS)] == "").any(
        axis=1
    )
    if wrong.any():
        lines = ", ".join(str(row + 2) for row in np.flatnonzero(wrong)[:10])
        raise ValueError(
            f"{path}: {np.count_nonzero(wrong)} rows with an empty id or a target that"
            f" is neither 0 nor 1, in lines {lines}"
        )
    return trials.astype({"target": int})


def write_trials(trials: pd.DataFrame, path: Path) -> None:
    """Write a trial list.

    Writes: ``path``, under a temporary name and then renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    trials.to_csv(partial, index=False)
    partial.replace(path)


def take_over_trials(file: Path, known: set[str], *, where: str) -> pd.DataFrame:
    """Read a list that somebody published, and find its utterances.

    Args:
        file: CSV with the columns above, or lines ``1 enrolment test`` as VoxCeleb has
            them. Ids may carry a file extension that the corpus's lack.
        known: ids of the utterances that may be compared.
        where: they are from, for the message.

    Raises:
        ValueError: when a line is wrong or an utterance unknown.
    """
    with file.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    listed = read_trials(file) if "," in header else _read_voxceleb(file)
    for column in ("enrolment", "test"):
        listed[column] = [
            name if name in known else str(PurePosixPath(name).with_suffix(""))
            for name in listed[column]
        ]
    strange = sorted({*listed["enrolment"], *listed["test"]} - known)
    if strange:
        raise ValueError(
            f"{file}: {len(strange)} utterances are not in {where}, for example"
            f" {', '.join(strange[:5])}; there they are called, for example,"
            f" {', '.join(sorted(known)[:2])}"
        )
    return listed


def _read_voxceleb(file: Path) -> pd.DataFrame:
    rows = []
    faults = []
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) == 3 and words[0] in ("0", "1"):
            rows.append((words[1], words[2], int(words[0])))
        elif words:
            faults.append(f"\n  {file}:{number}: {line!r} is not `1 enrolment test`")
    if faults:
        raise ValueError(f"{file}: {len(faults)} wrong lines{''.join(faults[:10])}")
    if not rows:
        raise ValueError(f"{file}: no trials")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def make_trials(rows: pd.DataFrame, *, num_targets: int, seed: int) -> pd.DataFrame:
    """Make a balanced list: as many non-targets as targets.

    Targets are shared equally by the speakers, non-targets by the pairs of speakers;
    who has fewer pairs of utterances than its share gives all, and the others make up
    for it. No pair comes twice, whichever way round. The order of the rows does not
    matter.

    Args:
        rows: of the manifest, one split.
        num_targets: target trials to make.
        seed: of the choice.

    Raises:
        ValueError: when there are not enough pairs; it says how many there are.
    """
    generator = np.random.default_rng(seed)
    utterances = {
        speaker: sorted(group)
        for speaker, group in rows.groupby("speaker")["utterance"]
    }
    names = sorted(utterances)
    sizes = np.array([len(utterances[name]) for name in names], dtype=np.int64)
    first, second = np.triu_indices(len(names), k=1)
    drawn = []
    for target, capacities in (
        (1, sizes * (sizes - 1) // 2),
        (0, sizes[first] * sizes[second]),
    ):
        shares = _share(capacities, num_targets, generator, KINDS[target])
        for group in np.flatnonzero(shares):
            places = generator.choice(
                capacities[group], size=shares[group], replace=False
            )
            if target:
                ids = utterances[names[group]]
                left, right = (i[places] for i in np.triu_indices(len(ids), k=1))
                drawn += [(ids[i], ids[j], 1) for i, j in zip(left, right, strict=True)]
            else:
                of_left = utterances[names[first[group]]]
                of_right = utterances[names[second[group]]]
                left, right = np.divmod(places, len(of_right))
                drawn += [
                    (of_left[i], of_right[j], 0)
                    for i, j in zip(left, right, strict=True)
                ]
    return pd.DataFrame(drawn, columns=list(COLUMNS))


KINDS = {1: "target", 0: "non-target"}


def _share(
    capacities: Int64[np.ndarray, " G"],
    total: int,
    generator: np.random.Generator,
    kind: str,
) -> Int64[np.ndarray, " G"]:
    """Share ``total`` equally among groups, none beyond its capacity."""
    if total > capacities.sum():
        raise ValueError(
            f"{total} {kind} trials were asked for, the split has {capacities.sum()}"
            " such pairs of utterances; lower num_targets"
        )
    shares = np.zeros_like(capacities)
    left = total
    while left:
        open_groups = np.flatnonzero(shares < capacities)
        each = left // len(open_groups)
        if each == 0:
            open_groups = generator.choice(open_groups, size=left, replace=False)
            each = 1
        shares[open_groups] += np.minimum(
            capacities[open_groups] - shares[open_groups], each
        )
        left = total - int(shares.sum())
    return shares
