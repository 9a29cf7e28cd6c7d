"""Where the audio, tables and lists of the config come from, and who is in them."""

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Any

TABLES = ("file", "cuts", "recordings", "supervisions")
"""Options of corpora that name a file."""

FOLDERS = ("root", "folder")
"""Options of corpora that name a folder."""

DIVIDING = ("published_split", "test_only")
"""Options of corpora that decide which speakers are in which split."""


def missing_files(config: dict[str, Any]) -> list[str]:
    """List the tables and lists of the grid that are not there.

    Snakemake would say it too, but not where an older result is: it would go on with
    that, under the new definition.
    """
    named: dict[str, str] = {}
    trials = {
        name
        for block in config["grid"]
        for name in [
            config["corpora"][block["train"]]["valid_trials"],
            *block["test"],
        ]
    }
    for name in sorted(trials):
        for key in ("file", "enrolments"):
            if key in config["trials"][name]:
                named[f"trials.{name}.{key}"] = config["trials"][name][key]
    corpora = {config["trials"][name]["corpus"] for name in trials}
    for name in sorted(corpora | {block["train"] for block in config["grid"]}):
        corpus = config["corpora"][name]
        if "file" in corpus.get("split", {}):
            named[f"corpora.{name}.split.file"] = corpus["split"]["file"]
        for key, value in corpus.get("options", {}).items():
            if key in TABLES and value is not None:
                named[f"corpora.{name}.options.{key}"] = value
    fetched = ("file",)  # by URL; all else must lie on a disk
    return [
        f"{key}: {value} is not there; correct the path, or put the file there"
        for key, value in named.items()
        if not ("://" in value and key.endswith(fetched) and ".options." not in key)
        and not Path(value).is_file()
    ]


def unfair_corpora(config: dict[str, Any], i: int) -> Iterator[str]:
    """Find speakers who train in one corpus of a block and are tested in another.

    Two definitions of one source may only differ in what leaves every speaker in his
    split, such as the microphone.
    """
    block = config["grid"][i]
    trained = config["corpora"][block["train"]]
    chosen_by = config["trials"].get(trained.get("valid_trials"), {})
    if (chosen_by.get("corpus"), chosen_by.get("split")) == (block["train"], "train"):
        yield (
            f"corpora.{block['train']}.valid_trials: {trained['valid_trials']!r} is of"
            " the speakers that are trained on; choose by another split"
        )
    for name in block["test"]:
        listed = config["trials"].get(name, {})
        corpus = config["corpora"].get(listed.get("corpus"), {})
        of = (listed.get("corpus"), listed.get("split"))
        if name != trained.get("valid_trials") and of == (
            chosen_by.get("corpus"),
            chosen_by.get("split"),
        ):
            yield (
                f"grid[{i}].test: {name!r} is of the same speakers as the list that"
                f" chooses the weights ({trained['valid_trials']!r}); test on another"
                " split"
            )
        if _source(corpus) != _source(trained) or listed["corpus"] == block["train"]:
            continue
        if _division(corpus) != _division(trained):
            yield (
                f"grid[{i}].test: {name!r} is of {listed['corpus']}, which is the same"
                f" audio as {block['train']}, that is trained on, otherwise divided; so"
                " some speakers are in both. Divide them alike, or train on another"
                " corpus"
            )


def _source(corpus: dict[str, Any]) -> tuple[Any, ...]:
    options = corpus.get("options", {})
    places = [options.get(name) for name in (*TABLES, *FOLDERS)]
    return corpus.get("kind"), *(place and normpath(place) for place in places)


def _division(corpus: dict[str, Any]) -> tuple[Any, ...]:
    options = corpus.get("options", {})
    return corpus.get("split"), *(options.get(name) for name in DIVIDING)
