"""Where the audio, tables and lists of the config come from, and who is in them."""

import csv
import json
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


def with_home(setting: Any) -> Any:
    """Write out the home folder wherever a value begins with ``~/``."""
    if isinstance(setting, dict):
        return {name: with_home(value) for name, value in setting.items()}
    if isinstance(setting, list):
        return [with_home(value) for value in setting]
    if isinstance(setting, str) and setting.startswith("~/"):
        return str(Path(setting).expanduser())
    return setting


def missing_files(config: dict[str, Any]) -> list[str]:
    """List the tables, lists, audio and encoders of the grid that are not there.

    Snakemake would say it too, but not where an older result is: it would go on with
    that, under the new definition, or delete it before it fails. Audio and encoders may
    be gone when what was made of them is here.
    """
    trials = {
        name
        for block in config["grid"]
        for name in [
            config["corpora"][block["train"]]["valid_trials"],
            *block["test"],
        ]
    }
    corpora = {config["trials"][name]["corpus"] for name in trials}
    corpora |= {block["train"] for block in config["grid"]}
    named: dict[str, str | None] = {}
    for name in sorted(trials):
        listed = config["trials"][name]
        named[f"trials.{name}.file"] = _on_disk(listed)
        named[f"trials.{name}.enrolments"] = listed.get("enrolments")
    for name in sorted(corpora):
        corpus = config["corpora"][name]
        named[f"corpora.{name}.split.file"] = _on_disk(corpus.get("split", {}))
        for key in TABLES:
            value = corpus.get("options", {}).get(key)
            named[f"corpora.{name}.options.{key}"] = value
    missing = {
        key: value
        for key, value in named.items()
        if value is not None and not Path(value).is_file()
    }
    for name in sorted(corpora):
        root = config["corpora"][name].get("options", {}).get("root")
        if root is not None and not Path(root).is_dir() and _has_other(name, root):
            missing[f"corpora.{name}.options.root"] = root
    backbones = {name for block in config["grid"] for name in block["backbones"]}
    for name in {name for block in config["grid"] for name in block["backends"]}:
        encoder = config["backends"][name].get("options", {}).get("encoder")
        backbones |= {encoder} & set(config["backbones"])
    for name in sorted(backbones):
        path = config["backbones"][name].get("path")
        if path is not None and not _is_or_was_there(name, path):
            missing[f"backbones.{name}.path"] = f"{path}/config.json"
    return [
        f"{key}: {value} is not there; correct the path, or put it there"
        for key, value in missing.items()
    ]


def _has_other(corpus: str, root: str) -> bool:
    """Say whether there is a manifest of audio that is not below this folder."""
    manifest = Path("results/corpora") / corpus / "utterances.csv"
    if not manifest.exists():
        return False
    with manifest.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file), None)
    return first is None or Path(root) not in Path(first["path"]).parents


def _is_or_was_there(backbone: str, path: str) -> bool:
    """Say whether an encoder is in this folder, or the project has it from there."""
    if Path(path, "config.json").is_file():
        return True
    facts = Path("results/backbones") / backbone / "backbone.json"
    if not facts.exists():
        return False
    return bool(json.loads(facts.read_text("utf-8"))["source"] == path)


def _on_disk(listed: dict[str, Any]) -> str | None:
    """Give the path of a list, unless it is fetched."""
    file = listed.get("file")
    return None if file is None or "://" in file else file


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
    roles = {chosen_by.get("corpus"): "chooses the weights"}
    roles |= {block["train"]: "is trained on"}
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
        for other, role in roles.items():
            seen = config["corpora"].get(other, {})
            alike = listed.get("corpus") != other and _source(corpus) == _source(seen)
            if alike and _division(corpus) != _division(seen):
                yield (
                    f"grid[{i}].test: {name!r} is of {listed['corpus']}, which is the"
                    f" same audio as {other}, that {role}, otherwise divided; so some"
                    " speakers are in both. Divide them alike, or take another corpus"
                )


def _source(corpus: dict[str, Any]) -> tuple[Any, ...]:
    options = corpus.get("options", {})
    places = [options.get(name) for name in (*TABLES, *FOLDERS)]
    return corpus.get("kind"), *(place and normpath(place) for place in places)


def _division(corpus: dict[str, Any]) -> tuple[Any, ...]:
    options = corpus.get("options", {})
    return corpus.get("split"), *(options.get(name) for name in DIVIDING)
