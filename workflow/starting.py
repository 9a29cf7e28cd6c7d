"""Follow backends whose training starts from the run of another."""

from collections.abc import Iterator
from typing import Any

from workflow.options import suggest


def wrong_starts(backends: dict[str, Any]) -> Iterator[str]:
    """List what a start names in vain, and starts that never come to a first run."""
    for name, entry in backends.items():
        start = entry.get("start")
        if start is not None and start not in backends:
            hint = suggest(start, [known for known in backends if known != name])
            yield (
                f"backends.{name}.start: {start!r} is not defined under backends;"
                f" {hint}"
            )
        elif len(chain := _chain_of(backends, name)) > len(set(chain)):
            yield (
                f"backends.{name}.start: comes round to {chain[-1]!r} again"
                f" ({' from '.join(chain)}); the first of them needs a `kind`"
            )


def complete(backends: dict[str, Any]) -> dict[str, Any]:
    """Fill in what backends do not say: of one that starts from a run, that run's.

    Kind, options and layers are always that one's; its own ``train`` goes before that
    one's, key by key.
    """
    return {name: _complete(backends, name) for name in backends}


def first_of(backends: dict[str, Any], name: str) -> str:
    """Give the backend at which the chain of starts begins, by its name."""
    return _chain_of(backends, name)[-1]


def _complete(backends: dict[str, Any], name: str) -> dict[str, Any]:
    entry = backends[name]
    if "start" not in entry:
        return {"options": {}, "train": {}, "processes": 1} | entry
    before = _complete(backends, entry["start"])
    return before | entry | {"train": before["train"] | entry.get("train", {})}


def _chain_of(backends: dict[str, Any], name: str) -> list[str]:
    """Follow the starts from a backend, to the first or to one that was there."""
    chain = [name]
    while (start := backends[chain[-1]].get("start")) in backends:
        chain.append(start)
        if start in chain[:-1]:
            break
    return chain
