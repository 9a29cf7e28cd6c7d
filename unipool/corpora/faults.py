"""How a corpus tells what is wrong with it: how many, and the first ten."""

EXAMPLES = 10


def stop_at(faults: list[str], what: str) -> None:
    """Stop where there are faults.

    Args:
        faults: of one sort, each with its place (``wav.scp:12: ...``).
        what: they are, and the way out; it follows their number.

    Raises:
        ValueError: with their number and the first ten, a line each.
    """
    if faults:
        first = f", the first {EXAMPLES}" if len(faults) > EXAMPLES else ""
        shown = "".join(f"\n  {fault}" for fault in faults[:EXAMPLES])
        raise ValueError(f"{len(faults)} {what}{first}:{shown}")


def sentences_of(names: list[str], what: str) -> tuple[str, ...]:
    """Say how many there are and name the first ten; nothing where there are none."""
    if not names:
        return ()
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return (f"{len(names)} {what}: {', '.join(names[:EXAMPLES])}{more}",)
