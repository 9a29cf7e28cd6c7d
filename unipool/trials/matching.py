"""Find the utterances that a published list means, whatever it calls them."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

EXTENSIONS = frozenset(
    "aac aif aiff flac m4a mp3 mp4 ogg opus pcm raw sph w64 wav wma".split()
)
"""Of audio, in lower case: what ids may have or lack at their end."""


class Matched(NamedTuple):
    """What listed names mean.

    Args:
        ids: of our utterances, by listed name; names that mean none are not in it.
        clashes: what may mean two, in words.
    """

    ids: dict[str, str]
    clashes: list[str]


def match_ids(listed: Collection[str], known: Collection[str]) -> Matched:
    """Find for each listed name the utterance that it means.

    A name means the id that it equals; or else the id that it equals but for the
    extensions of audio; or else the one id that is its end, or whose end it is, from a
    ``/`` on. Time and memory go with the number of names, not of their pairs.

    Args:
        listed: names, each once.
        known: ids of our utterances.
    """
    known = known if isinstance(known, set | frozenset) else set(known)
    ids = {name: name for name in listed if name in known}
    clashes = []
    rest = {name: _bare(name) for name in listed if name not in ids}
    if not rest:
        return Matched(ids, [])
    whole = set(rest.values())
    ends = {end for bare in whole for end in _ends(bare)}
    # Of our ids only those that can be meant are kept, under what they can be meant by.
    by_name, by_end = defaultdict(list), defaultdict(list)
    for ours in known:
        bare = _bare(ours)
        if bare in ends:
            by_name[bare].append(ours)
        if "/" in bare:
            for end in _ends(bare):
                if end in whole and end != bare:
                    by_end[end].append(ours)
    for name, bare in rest.items():
        meant = by_name.get(bare) or [
            *(ours for end in _ends(bare) for ours in by_name.get(end, ())),
            *by_end.get(bare, ()),
        ]
        if len(meant) == 1:
            ids[name] = meant[0]
        elif meant:
            clashes.append(f"{name} may be {' or '.join(sorted(meant)[:3])}")
    return Matched(ids, [*clashes, *_merged(ids)])


def _merged(ids: dict[str, str]) -> Iterator[str]:
    """Find different listed names that would be one utterance of ours."""
    first_of: dict[str, str] = {}
    names_of: dict[str, set[str]] = {}
    for name, ours in ids.items():
        bare = _bare(name)
        first = first_of.setdefault(ours, bare)
        if first != bare:
            names_of.setdefault(ours, {first}).add(bare)
    for ours, names in names_of.items():
        longest = max(sorted(names), key=len)
        for name in sorted(names):
            if name != longest and not longest.endswith("/" + name):
                yield f"{longest} and {name} may both be {ours}"


def _bare(name: str) -> str:
    """Take the extension of audio off."""
    stem, _, extension = name.rpartition(".")
    return stem if extension.lower() in EXTENSIONS and stem else name


def _ends(name: str) -> Iterator[str]:
    """Give the name, and what is left of it as folders are taken off its beginning."""
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
