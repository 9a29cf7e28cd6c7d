"""Trial lists and enrolment maps in the formats that others publish them in."""

import csv
import io
import warnings
from pathlib import Path

import pandas as pd

LABELS = (
    {"1": 1, "0": 0},
    {"target": 1, "nontarget": 0},
    {"tar": 1, "imp": 0},
)
"""How lists spell target and non-target; one list keeps to one of them."""

HEADER = {
    "enrolment": "enrolment",
    "enrol": "enrolment",
    "enroll": "enrolment",
    "enrollment": "enrolment",
    "sample1": "enrolment",
    "test": "test",
    "sample2": "test",
    "target": "target",
    "label": "target",
}
"""What columns are called, in lower case, and what they are here."""

FORMATS = (
    "`1 enrolment test`, `enrolment test target` (or nontarget),"
    " `enrolment test tar` (or imp), `enrolment test 1`, or a CSV with a header such as"
    " enrolment,test,target"
)
FAULTS_SHOWN = 10


def read_published(file: Path) -> pd.DataFrame:
    """Read a trial list of any of the known formats.

    Returns:
        enrolment, test (text, as listed), target (0 or 1), and the conditions of a CSV;
        the index is the number of the line.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the lines are not all of one format, or there are none.
    """
    text = _read_text(file)
    first = next((line for line in text.split("\n") if line.strip()), None)
    if first is None:
        raise ValueError(f"{file}: no trials")
    for separator in (",", "\t"):
        names = next(csv.reader([first], delimiter=separator))
        if separator in first and any(n.strip().lower() in HEADER for n in names):
            return _read_table(file, text, separator)
    return _read_lines(file, text)


def read_enrolment_map(file: Path) -> pd.DataFrame:
    """Read lines ``model utterance utterance ...``, as CN-Celeb and Kaldi have them.

    Returns:
        enrolment, utterance: a row for each utterance of each model, as listed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a model has no utterances or comes twice, or there is none.
    """
    lines = enumerate(_read_text(file).split("\n"), start=1)
    words = {number: found for number, line in lines if (found := line.split())}
    if not words:
        raise ValueError(f"{file}: no models")
    faults, seen = {}, set()
    for line, (model, *utterances) in words.items():
        if model in seen:
            faults[line] = f"the model {model} has a line above"
        elif not utterances:
            faults[line] = f"the model {model} has no utterances"
        elif len(set(utterances)) < len(utterances):
            faults[line] = f"the model {model} has an utterance twice"
        seen.add(model)
    _stop_at(file, faults, "one line for each model: `model utterance utterance ...`")
    return pd.DataFrame(
        [(model, name) for model, *names in words.values() for name in names],
        columns=["enrolment", "utterance"],
    )


def _read_text(file: Path) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 ({error})") from error


def _read_lines(file: Path, text: str) -> pd.DataFrame:
    table = _split_lines(text)
    whole = (table[2] != "") & (table[3] == "")
    # The label is the first or the last word: what fits most lines is the format.
    fits = {
        (place, spelling): whole & table[place].isin(labels)
        for place in (0, 2)
        for spelling, labels in enumerate(LABELS)
    }
    place, spelling = best = max(fits, key=lambda name: fits[name].sum())
    yes, no = LABELS[spelling]
    form = f"`{yes} enrolment test`" if place == 0 else f"`enrolment test {yes}`"
    faults = {
        int(line): repr(" ".join(row).strip())
        for line, row in zip(
            table.index[~fits[best]],
            table[~fits[best]].to_numpy().tolist(),
            strict=True,
        )
    }
    of_most = f"is not like the other lines, {form} (or {no})"
    _stop_at(file, faults, of_most if fits[best].any() else f"is none of {FORMATS}")
    if sum(fit.all() for fit in fits.values()) > 1:
        raise ValueError(
            f"{file}: the label may be the first or the last word of each line; put"
            " enrolment,test,target above and commas between"
        )
    first, second = (1, 2) if place == 0 else (0, 1)
    return pd.DataFrame(
        {
            "enrolment": table[first],
            "test": table[second],
            "target": table[place].map(LABELS[spelling]).astype(int),
        }
    )


def _split_lines(text: str) -> pd.DataFrame:
    """Give the words of each line that has any, in four columns, by its number."""
    try:
        # Of a longer first line pandas would make an index of its first words.
        if len(text.split("\n", 1)[0].split()) > 4:
            raise pd.errors.ParserError
        table = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+",
            header=None,
            names=range(4),
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
        )
    except pd.errors.ParserError:  # A line has more words; the last column takes them.
        lines = [(line.split(maxsplit=3) + [""] * 4)[:4] for line in text.split("\n")]
        table = pd.DataFrame(lines, columns=range(4), dtype=str)
    table = table.fillna("")
    table.index += 1
    return table[table[0] != ""]


def _read_table(file: Path, text: str, separator: str) -> pd.DataFrame:
    blank = next(n for n, line in enumerate(text.split("\n")) if line.strip())
    try:
        with warnings.catch_warnings():
            # A row longer than the header would lose its end with no more than this.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                header=blank,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"{file}: not a CSV with as many fields in each row as in the header"
            f" ({str(error).strip()})"
        ) from error
    names = [name.strip() for name in table]
    table.columns = [HEADER.get(name.lower(), name) for name in names]
    for column in ("enrolment", "test", "target"):
        if list(table.columns).count(column) != 1:
            known = [name for name in HEADER if HEADER[name] == column]
            raise ValueError(
                f"{file}: needs one column {column} (or {', '.join(known[1:])}) among"
                f" {', '.join(names)}"
            )
    table.index += blank + 2
    table = table.fillna("")
    for column in ("enrolment", "test", "target"):
        table[column] = table[column].str.strip()
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise ValueError(f"{file}: no trials")
    best = max(LABELS, key=lambda labels: table["target"].isin(labels).sum())
    wrong = ~table["target"].isin(best) | (table[["enrolment", "test"]] == "").any(
        axis=1
    )
    faults = {
        int(line): f"{separator.join(row)!r}"
        for line, row in zip(
            table.index[wrong], table[wrong].to_numpy().tolist(), strict=True
        )
    }
    _stop_at(file, faults, f"needs two ids and a target, {' or '.join(best)}")
    return table.assign(target=table["target"].map(best).astype(int))


def _stop_at(file: Path, faults: dict[int, str], what: str) -> None:
    if faults:
        shown = [
            f"\n  {file}:{line}: {found}"
            for line, found in list(faults.items())[:FAULTS_SHOWN]
        ]
        first = f", the first {FAULTS_SHOWN}" if len(faults) > FAULTS_SHOWN else ""
        raise ValueError(
            f"{file}: {len(faults)} wrong lines{first}; each {what}{''.join(shown)}"
        )
