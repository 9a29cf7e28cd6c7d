"""Scored trials in the files of any toolkit."""

import warnings
from pathlib import Path

import pandas as pd

from unipool.trials import HEADER, LABELS, read_published

FORMATS = (
    "a CSV whose header has score and target (or label), perhaps enrolment and test; or"
    " lines of `enrolment test score`, with a label (1/0, target/nontarget, tar/imp)"
    " before, between or behind them; or lines of `score label`"
)
NAMES = ("enrolment", "test", "target", "score")
EXAMPLES = 3


def read_scored(file: Path, trials: Path | None = None) -> pd.DataFrame:
    """Read scored trials, and what a trial list says of them.

    Args:
        file: of scores, in one of ``FORMATS``.
        trials: list that has the labels, where the file has none; scores of pairs that
            it does not list are left out.

    Returns:
        score, target (0 or 1), and where they are known enrolment and test, text.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is of no known format, a trial has no score, or no labels
            are known.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        table = _read_fields(file)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"{file}: no scored trials ({str(error).strip()}); known are {FORMATS}"
        ) from error
    if trials is None:
        if "target" not in table:
            raise ValueError(
                f"{file}: scores without labels; name the list that has them with"
                " --trials"
            )
        return table
    if "enrolment" not in table:
        raise ValueError(
            f"{file}: scores without the names of the two sides, so {trials} cannot say"
            " which is which"
        )
    return _with_labels(file, table, trials)


def _read_fields(file: Path) -> pd.DataFrame:
    with file.open(encoding="utf-8-sig") as lines:
        first = lines.readline()
    is_table = "score" in first.lower().replace(",", " ").split()
    separator = "," if "," in first else r"\s+"
    with warnings.catch_warnings():
        # A line longer than the first would lose its end with no more than this.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        fields = pd.read_csv(
            file,
            sep=separator,
            header=0 if is_table else None,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            encoding="utf-8-sig",
        )
    if is_table:
        names = {name: _name(str(name)) for name in fields}
        fields = fields.rename(columns=names)
        fields = fields[[name for name in NAMES if name in fields]]
    else:
        fields = fields.set_axis(_guess(fields), axis=1)
    if "target" in fields:
        labels = _labels(fields["target"])
        if labels is None:
            raise ValueError(f"labels such as {fields['target'].iloc[0]!r}")
        fields = fields.assign(target=labels)
    scores = pd.to_numeric(fields["score"], errors="coerce")
    if scores.isna().any():
        line = int(scores.isna().to_numpy().argmax())
        raise ValueError(
            f"line {line + 1 + is_table}: {fields['score'].iloc[line]!r} is no score"
        )
    return fields.assign(score=scores.astype(float))


def _name(theirs: str) -> str:
    return HEADER.get(theirs.strip().lower(), theirs.strip().lower())


def _guess(fields: pd.DataFrame) -> list[str]:
    """Tell by their content which columns are labels and scores."""
    names: dict[int, str] = {}
    if len(fields.columns) in (2, 4):
        labels = [c for c in fields if _labels(fields[c]) is not None]
        if not labels:
            raise ValueError("no field is 1 or 0, target or nontarget, tar or imp")
        names[labels[0]] = "target"
    elif len(fields.columns) != 3:
        raise ValueError(f"{len(fields.columns)} fields in the first line")
    # Ids may be numbers too; the score is the last that is.
    numbers = [
        c
        for c in fields
        if c not in names and pd.to_numeric(fields[c], errors="coerce").notna().all()
    ]
    if not numbers:
        raise ValueError("no field is a number in all lines")
    names[numbers[-1]] = "score"
    sides = iter(("enrolment", "test"))
    return [names.get(column) or next(sides) for column in fields]


def _labels(values: pd.Series) -> pd.Series | None:
    """Give 1 and 0, or nothing where these are no labels."""
    for words in LABELS:
        if values.isin(list(words)).all():
            return values.map(words).astype(int)
    return None


def _with_labels(file: Path, table: pd.DataFrame, trials: Path) -> pd.DataFrame:
    listed = read_published(trials)[["enrolment", "test", "target"]]
    scores = table.drop_duplicates(["enrolment", "test"], keep="last")
    joined = listed.merge(
        scores[["enrolment", "test", "score"]], on=["enrolment", "test"], how="left"
    )
    lacking = joined[joined["score"].isna()]
    if len(lacking):
        some = ", ".join(
            f"{row.enrolment} {row.test}" for row in lacking[:EXAMPLES].itertuples()
        )
        raise ValueError(
            f"{file}: {len(lacking)} of the {len(joined)} trials of {trials} have no"
            f" score, for example {some}; there are scores of, for example,"
            f" {table['enrolment'].iloc[0]} {table['test'].iloc[0]}"
        )
    return joined


def speakers_of(trials: pd.DataFrame, manifest: Path | None) -> pd.Series:
    """Give the speaker of each utterance; without a manifest, the utterance itself.

    Raises:
        ValueError: when nothing names the sides, or the manifest is none.
    """
    if "enrolment" not in trials:
        raise ValueError(
            "the scores do not name the two sides of each trial, and trials of one"
            " speaker are not independent: give the names, or a list with --trials"
        )
    if manifest is None:
        names = pd.unique(pd.concat([trials["enrolment"], trials["test"]]))
        return pd.Series(names, index=names)
    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    missing = {"utterance", "speaker"} - set(table)
    if missing:
        raise ValueError(
            f"{manifest}: no column {', '.join(sorted(missing))} among"
            f" {', '.join(table)}"
        )
    return table.drop_duplicates("utterance").set_index("utterance")["speaker"]
