"""What the published corpora share: where they are, and which copy is taken."""

from pathlib import Path

from unipool.audio import SUFFIXES

ENTRIES_SHOWN = 10


def find_home(root: Path, names: tuple[str, ...]) -> Path:
    """Find the folder that holds one of some files or folders.

    Args:
        root: that folder, or the one above it.
        names: paths in that folder, any of which shows that it is the one.

    Raises:
        FileNotFoundError: when neither holds one; says what is there instead.
        ValueError: when several folders of ``root`` do.
    """
    wanted = " or ".join(names)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; it should hold {wanted}")
    if _holds(root, names):
        return root
    below = [root / name for name in _entries(root) if _holds(root / name, names)]
    if len(below) > 1:
        raise ValueError(
            f"{root}: {len(below)} of its folders hold {wanted}:"
            f" {', '.join(map(str, below))}; name one of them as root"
        )
    if below:
        return below[0]
    parents = root.absolute().parents[:2]
    above = [path for path in parents if _holds(path, names)]
    hint = f"; is {above[0]} the root?" if above else ""
    raise nothing_found(root, f"{wanted}, here or in a folder of it", hint)


def _holds(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).exists() for name in names)


def _entries(folder: Path) -> list[str]:
    """Give the names of what is in a folder and not hidden, in order."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def nothing_found(root: Path, wanted: str, hint: str = "") -> FileNotFoundError:
    """Make the error that says what was looked for and what is there instead."""
    entries = _entries(root)
    more = f" and {len(entries) - ENTRIES_SHOWN} more"
    there = f"it holds {', '.join(entries[:ENTRIES_SHOWN])}" if entries else "empty"
    return FileNotFoundError(
        f"{root}: no {wanted}; {there}{more if len(entries) > ENTRIES_SHOWN else ''}"
        f"{hint}"
    )


def choose_copies(keys: list[str], names: list[str]) -> list[int]:
    """Give the row of one copy of each utterance.

    Of a converted and an unconverted copy it is the converted one (wav before flac
    before ogg, mp3 and m4a), of two alike the first.

    Args:
        keys: id of the utterance of each row.
        names: of its file.

    Returns:
        Rows, in the order in which their keys came first.
    """
    chosen: dict[str, int] = {}
    for row, key in enumerate(keys):
        other = chosen.setdefault(key, row)
        if other != row and _rank(names[row]) < _rank(names[other]):
            chosen[key] = row
    return list(chosen.values())


def _rank(name: str) -> int:
    return SUFFIXES.index("." + name.rpartition(".")[2].lower())
