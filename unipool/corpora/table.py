"""A corpus that one describes in a CSV of one's own."""

import warnings
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from unipool.corpora.corpus import Corpus

OPTIONAL = ("utterance", "split", "session", "start", "seconds")
REQUIRED = ("path", "speaker")


def read_table(
    *, file: Path, root: Path | None = None, columns: dict[str, str] | None = None
) -> Corpus:
    """Read a CSV with path and speaker, perhaps others and metadata.

    A row with ``start`` and ``seconds`` is a segment of its recording.

    Args:
        file: UTF-8 CSV with a header.
        root: what relative paths are relative to; by default the file's folder.
        columns: how the file calls them, where it differs: ``{speaker: talker_id}``.

    Returns:
        utterance (by default the path without extension), speaker, path, origin
        (``file.csv:12``), and all other columns, as text.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no CSV, has no rows or lacks a column.
    """
    file = Path(file)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        with warnings.catch_warnings():
            # A row longer than the header would lose its end with no more than this.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"{file}: not a UTF-8 CSV with as many fields in each row as in the header"
            f" ({str(error).strip()})"
        ) from error
    if table.empty:
        raise ValueError(f"{file}: no rows")
    found = list(table)
    for name, theirs in (columns or {}).items():
        if not isinstance(theirs, str):
            raise ValueError(f"columns: {name} is {theirs!r}; write the name as text")
        if name not in (*REQUIRED, *OPTIONAL):
            raise ValueError(
                f"columns: {name} is none of {', '.join((*REQUIRED, *OPTIONAL))}"
            )
        if theirs not in found:
            raise ValueError(_no_column(file, theirs, found))
    names = {theirs: name for name, theirs in (columns or {}).items()}
    # A column that the mapping's name would hide is not the one that was meant.
    table = table.drop(columns=[n for n in names.values() if n in table]).rename(
        columns=names
    )
    for name in REQUIRED:
        if name not in table:
            raise ValueError(_no_column(file, name, found))
    reserved = [name for name in ("reason", "origin") if name in table]
    if "stop" in table and "start" in table and "seconds" not in table:
        reserved.append("stop")
    if reserved:
        raise ValueError(
            f"{file}: a column {reserved[0]!r}, which unipool makes itself; rename it"
            " (a segment is said by start and seconds)"
        )
    nowhere = table["path"].str.strip() == ""
    if nowhere.any():
        line = int(nowhere.to_numpy().argmax()) + 2
        raise ValueError(f"{file}:{line}: no path ({nowhere.sum()} such rows)")
    if "utterance" not in table:
        table["utterance"] = [Path(p).with_suffix("").as_posix() for p in table["path"]]
    base = file.parent if root is None else Path(root)
    return Corpus(
        table.assign(
            path=[str(base / path) for path in table["path"]],
            origin=[f"{file}:{line}" for line in range(2, len(table) + 2)],
        )
    )


def _no_column(file: Path, name: str, found: list[str]) -> str:
    near = get_close_matches(name, found, n=1)
    hint = f"; is it {near[0]!r}? Then say so under columns" if near else ""
    return f"{file}: no column {name!r} among {', '.join(found)}{hint}"
