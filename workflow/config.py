"""Find what is wrong with config.yaml before any job starts.

The fixed part is in ``schemas/config.schema.yaml``; options of kinds are in
``options.py``, what does not go together in ``pairs.py``, where audio and lists come
from in ``sources.py``, what runs start from in ``starting.py``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from workflow.options import number_hint, suggest, wrong_options
from workflow.pairs import unfit_pairs
from workflow.sources import unfair_corpora
from workflow.starting import complete, wrong_starts

MEMBER_OF = {"backbone": "backbones", "backend": "backends", "scoring": "scorings"}
"""Where what a member of a fusion names is defined."""

ALWAYS = {"scorings": ["cosine"]}
"""What is there without a definition."""

ANSWER = b"\n--- problems\n"
"""Before and behind what the process that looks for problems has found."""


class _Dumper(yaml.SafeDumper):
    """Takes mappings of all kinds for what they are."""


_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)


def problems_found_apart(config: dict[str, Any], schema: Path) -> list[str]:
    """List what ``problems_of`` does, found by a process of its own.

    It imports torch, whose memory would be Snakemake's as long as the workflow runs.

    Raises:
        RuntimeError: when that process fails.
    """
    root = str(Path(__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-m", "workflow.config", str(schema)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([root, *sys.path])},
        input=yaml.dump(config, Dumper=_Dumper, allow_unicode=True).encode(),
        capture_output=True,
        check=False,
    )
    if found.returncode:
        raise RuntimeError(found.stderr.decode(errors="replace"))
    _, answer, _ = found.stdout.split(ANSWER)  # what it imports may print, too
    problems: list[str] = yaml.safe_load(answer)
    return problems


def problems_of(config: dict[str, Any], schema: Path) -> list[str]:
    """List what is wrong, each with the key it is about; empty when all is well."""
    validator = Draft202012Validator(yaml.safe_load(schema.read_text("utf-8")))
    problems = [
        problem
        for error in validator.iter_errors(config)
        for problem in _explain(error)
    ]
    problems = problems or [*wrong_starts(config["backends"])]
    if not problems:
        config = config | {"backends": complete(config["backends"])}
        problems = [*_unknown_names(config)]
    if not problems:
        problems = [*wrong_options(config)]
    if not problems:
        problems = [*unfit_pairs(config)]
    return problems


def _explain(error: ValidationError) -> Iterator[str]:
    where = _spell(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known), key=str):
            yield f"{_below(where, key)}: unknown key; {suggest(key, known)}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        for key in missing:
            yield f"{_below(where, key)}: missing"
    elif error.validator == "not" and isinstance(error.instance, str):
        yield f"{where}.{error.instance}: this name is taken; choose another"
    elif error.validator == "oneOf" and "$comment" in error.schema:
        yield f"{where}: {error.schema['$comment']}"
    elif error.validator == "pattern" and "$comment" in error.schema:
        yield f"{where}: {error.instance!r} {error.schema['$comment']}"
    elif (error.validator, error.validator_value) == ("type", "array"):
        yield f"{where}: {error.instance!r} is no list; write [{error.instance}]"
    else:
        yield f"{where}: {error.message}{number_hint(error)}"


def _unknown_names(config: dict[str, Any]) -> Iterator[str]:
    """Follow every name to its definition."""
    for name, corpus in config["corpora"].items():
        yield from _look_up(
            config, "trials", f"corpora.{name}.valid_trials", corpus.get("valid_trials")
        )
        yield from _unverified(f"corpora.{name}.split", corpus.get("split", {}))
    for name, trials in config["trials"].items():
        yield from _look_up(
            config, "corpora", f"trials.{name}.corpus", trials["corpus"]
        )
        yield from _unverified(f"trials.{name}", trials)
        if name.endswith(".enrolments"):
            yield f"trials.{name}: the end of the name is taken; choose another"
    for name, members in config.get("fusions", {}).items():
        for j, member in enumerate(members):
            for key, library in MEMBER_OF.items():
                yield from _look_up(
                    config, library, f"fusions.{name}[{j}].{key}", member.get(key)
                )
    if "full" in config.get("views", {}):
        yield "views.full: is there already, whole utterances; choose another name"
    for name, view in config.get("views", {}).items():
        copies = range(1, view.get("augmented", {}).get("copies", 0) + 1)
        for copy in {f"{name}-{copy}" for copy in copies} & set(config["views"]):
            yield f"views.{copy}: is a copy of {name!r} already; choose another name"
    for name, backend in config["backends"].items():
        encoder = backend["options"].get("encoder")
        if isinstance(encoder, str) and "start" not in backend:
            yield from _look_up(
                config, "backbones", f"backends.{name}.options.encoder", encoder
            )
    for i, block in enumerate(config["grid"]):
        yield from _look_up(config, "corpora", f"grid[{i}].train", block["train"])
        if block.get("view", "full") != "full":
            yield from _look_up(config, "views", f"grid[{i}].view", block["view"])
        for key, library in (
            ("test", "trials"),
            ("backbones", "backbones"),
            ("backends", "backends"),
            ("scorings", "scorings"),
            ("fusions", "fusions"),
        ):
            for name in block.get(key, ()):
                yield from _look_up(config, library, f"grid[{i}].{key}", name)
        yield from _deaf(config, i)
        if block["train"] in config["corpora"]:
            yield from _unfair_tests(config, i)
            yield from unfair_corpora(config, i)


def _deaf(config: dict[str, Any], i: int) -> Iterator[str]:
    """Find encoders that are to be fine-tuned on other than the waveform."""
    block = config["grid"][i]
    pairs = [
        (f"grid[{i}].backbones", backbone, backend)
        for backbone in block["backbones"]
        for backend in block["backends"]
    ]
    pairs += [
        (f"fusions.{name}[{j}].backbone", member["backbone"], member["backend"])
        for name in block.get("fusions", ())
        for j, member in enumerate(config.get("fusions", {}).get(name, ()))
    ]
    for where, backbone, backend in pairs:
        options = config["backends"].get(backend, {}).get("options", {})
        features = config["backbones"].get(backbone, {}).get("features")
        if "encoder" in options and features != "waveform":
            yield (
                f"{where}: {backbone!r} is no waveform, on which {backend!r} fine-tunes"
                f" its encoder ({options['encoder']}); name a backbone with `features:"
                " waveform`, in a block of its own"
            )


def _unverified(where: str, listed: dict[str, Any]) -> Iterator[str]:
    if "://" in listed.get("file", "") and "checksum" not in listed:
        yield (
            f"{where}.checksum: missing; a list from the network is used only if it is"
            " the one that was meant (`sha256:` and what `sha256sum` says of a copy you"
            " trust)"
        )


def _unfair_tests(config: dict[str, Any], i: int) -> Iterator[str]:
    """Find trials that training has seen."""
    block = config["grid"][i]
    chosen_by = config["corpora"][block["train"]].get("valid_trials")
    if chosen_by is None:
        yield (
            f"corpora.{block['train']}.valid_trials: missing; grid[{i}] trains on this"
            " corpus, and its weights are chosen by a trial list"
        )
    for name in block["test"]:
        trials = config["trials"].get(name, {})
        if name == chosen_by:
            yield (
                f"grid[{i}].test: {name!r} chooses the weights"
                f" (corpora.{block['train']}.valid_trials), so its errors would be too"
                " low; test on other trials"
            )
        if (trials.get("corpus"), trials.get("split")) == (block["train"], "train"):
            yield (
                f"grid[{i}].test: {name!r} is of the speakers that are trained on; test"
                " on another split"
            )


def _look_up(
    config: dict[str, Any], library: str, where: str, name: str | None
) -> Iterator[str]:
    known = [*ALWAYS.get(library, ()), *config.get(library, {})]
    if name is not None and name not in known:
        hint = suggest(name, known)
        yield f"{where}: {name!r} is not defined under {library}; {hint}"


def _spell(path: Any) -> str:
    spelt = ""
    for step in path:
        spelt = f"{spelt}[{step}]" if isinstance(step, int) else _below(spelt, step)
    return spelt


def _below(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


if __name__ == "__main__":
    said = problems_of(yaml.safe_load(sys.stdin.buffer), Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stdout.buffer.write(ANSWER)
    yaml.dump(said, sys.stdout.buffer, encoding="utf-8", allow_unicode=True)
    sys.stdout.buffer.write(ANSWER)
