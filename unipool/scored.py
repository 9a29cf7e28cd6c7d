"""Scored trials in the files of any toolkit."""

import csv
import warnings
from pathlib import Path

import pandas as pd

from unipool.trials import HEADER, LABELS, read_published

FORMATS = (
    "a CSV whose header has score and target (or label), perhaps enrolment and test; or"
    " lines of `enrolment test score`, with a label (1/0, target/nontarget, tar/imp)"
    " before, between or behind them; or lines of `score label`"
)
NAMES = ("enrolment", "test", "target", "score", "llr")
"""Columns that are no conditions."""
EXAMPLES = 3


def read_scored(file: Path, trials: Path | None = None) -> pd.DataFrame:
    """Read scored trials, and what a trial list says of them.

    Args:
        file: of scores, in one of ``FORMATS``.
        trials: list that has the labels, where the file has none; scores of pairs that
            it does not list are left out.

    Returns:
        score, target (0 or 1); where they are known llr, enrolment and test; and all
        other columns of both files, which are conditions. Names and conditions are
        text.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is of no known format, a trial has no score, or no labels
            are known.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if not file.is_file():
        raise ValueError(f"{file}: not a file; name a file of scores")
    try:
        table = _read_fields(file)
    except (ValueError, pd.errors.ParserWarning) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"{file}: no scored trials ({said}); known are {FORMATS}"
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
            skipinitialspace=True,
            quoting=csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE,
        )
    if is_table:
        names = [_name(str(name)) for name in fields]
        twice = [name for name in NAMES if names.count(name) > 1]
        if twice:
            raise ValueError(f"the header names {twice[0]} twice")
        fields = fields.set_axis(names, axis=1)
        if fields.empty:
            raise ValueError("no line below the header")
    else:
        fields = fields.set_axis(_guess(fields), axis=1)
    if "target" in fields:
        labels = _labels(fields["target"])
        if labels is None:
            raise ValueError(f"labels such as {fields['target'].iloc[0]!r}")
        fields = fields.assign(target=labels)
    for name in {"score", "llr"} & set(fields):
        numbers = pd.to_numeric(fields[name], errors="coerce")
        if numbers.isna().any():
            line = int(numbers.isna().to_numpy().argmax())
            raise ValueError(
                f"line {line + 1 + is_table}: {fields[name].iloc[line]!r} is no {name}"
            )
        fields = fields.assign(**{name: numbers.astype(float)})
    return fields


def _name(theirs: str) -> str:
    lower = theirs.strip().lower()
    known = HEADER.get(lower, lower)
    return known if known in NAMES else theirs.strip()


def _guess(fields: pd.DataFrame) -> list[str]:
    """Tell by their number and content which columns are labels and scores."""
    names: dict[int, str] = {}
    if len(fields.columns) in (2, 4):
        labels = [c for c in fields if _labels(fields[c]) is not None]
        if not labels:
            raise ValueError("no field is 1 or 0, target or nontarget, tar or imp")
        # Of `score label` the score may be 1 or 0 throughout, too.
        names[labels[-1 if len(fields.columns) == 2 else 0]] = "target"
    elif len(fields.columns) != 3:
        raise ValueError(f"{len(fields.columns)} fields in the first line")
    # Ids may be numbers too; the score is what comes last beside the label.
    names[[c for c in fields if c not in names][-1]] = "score"
    sides = iter(("enrolment", "test"))
    return [names.get(column) or next(sides) for column in fields]


def _labels(values: pd.Series) -> pd.Series | None:
    """Give 1 and 0, or nothing where these are no labels."""
    spelt = values.str.strip().str.lower()
    for words in (*LABELS, {"true": 1, "false": 0}):
        if spelt.isin(list(words)).all():
            return spelt.map(words).astype(int)
    return None


def _with_labels(file: Path, table: pd.DataFrame, trials: Path) -> pd.DataFrame:
    listed = read_published(trials)
    key = ["enrolment", "test"]
    more = [name for name in table if name not in listed]
    scores = table.drop_duplicates(key)[[*key, *more]]
    differ = table.drop_duplicates([*key, "score"]).duplicated(key)
    if differ.any():
        one = table.loc[differ.index[differ.to_numpy()][0]]
        raise ValueError(
            f"{file}: {one['enrolment']} {one['test']} has two scores; score each trial"
            " once"
        )
    if "score" not in more:
        raise ValueError(f"{trials}: has a column score; name it as the scores")
    joined = listed.merge(scores, on=key, how="left")
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


def conditions_of(trials: pd.DataFrame) -> list[str]:
    """Name the columns that say something of the trials."""
    return [name for name in trials if name not in NAMES]


def number_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Give both sides of each trial its number for a name: nothing is shared."""
    return trials.assign(enrolment=trials.index, test=trials.index)


def speakers_of(trials: pd.DataFrame, manifest: Path | None) -> pd.Series:
    """Give the speaker of each utterance; without a manifest, the utterance itself.

    An enrolment that the manifest does not have is a model; its speaker is that of the
    test side of its target trials.

    Raises:
        ValueError: when the manifest is none.
    """
    if manifest is None:
        names = pd.unique(pd.concat([trials["enrolment"], trials["test"]]))
        return pd.Series(names, index=names)
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest}: no such manifest")
    try:
        table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    except ValueError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{manifest}: no CSV with a header ({said})") from error
    missing = {"utterance", "speaker"} - set(table)
    if missing:
        raise ValueError(
            f"{manifest}: no column {', '.join(sorted(missing))} among"
            f" {', '.join(table)}"
        )
    known = table.drop_duplicates("utterance").set_index("utterance")["speaker"]
    targets = trials[(trials["target"] == 1) & ~trials["enrolment"].isin(known.index)]
    of_models = targets.drop_duplicates("enrolment").set_index("enrolment")["test"]
    return pd.concat([known, of_models.map(known).dropna()])
