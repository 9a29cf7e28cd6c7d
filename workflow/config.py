"""Find what is wrong with config.yaml before any job starts.

The fixed part is in ``schemas/config.schema.yaml``. What belongs to a corpus kind, a
backend or the training is read off the signatures they have in ``unipool``, so an
option has one name from here to its constructor and no list of names to keep up.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from jsonschema import Draft202012Validator, ValidationError

from workflow.sources import unfair_corpora

JSON_TYPES = {
    int: "integer",
    float: "number",
    bool: "boolean",
    str: "string",
    Path: "string",
    list: "array",
    tuple: "array",
    Sequence: "array",
    dict: "object",
    types.NoneType: "null",
}

MEMBER_OF = {"backbone": "backbones", "backend": "backends", "scoring": "scorings"}
"""Where what a member of a fusion names is defined."""

ALWAYS = {"scorings": ["cosine"]}
"""What is there without a definition."""


def problems_of(config: dict[str, Any], schema: Path) -> list[str]:
    """List what is wrong, each with the key it is about; empty when all is well."""
    validator = Draft202012Validator(yaml.safe_load(schema.read_text("utf-8")))
    problems = [
        problem
        for error in validator.iter_errors(config)
        for problem in _explain(error)
    ]
    if not problems:
        problems = [*_unknown_names(config)]
    if not problems:
        problems = [*_wrong_options(config)]
    return problems


def _explain(error: ValidationError) -> Iterator[str]:
    where = _spell(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        for key in sorted(set(error.instance) - set(known), key=str):
            yield f"{_below(where, key)}: unknown key; {_suggest(key, known)}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        for key in missing:
            yield f"{_below(where, key)}: missing"
    elif error.validator == "oneOf" and "$comment" in error.schema:
        yield f"{where}: {error.schema['$comment']}"
    else:
        yield f"{where}: {error.message}{_number_hint(error)}"


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
        if block["train"] in config["corpora"]:
            yield from _unfair_tests(config, i)
            yield from unfair_corpora(config, i)


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
        hint = _suggest(name, known)
        yield f"{where}: {name!r} is not defined under {library}; {hint}"


def _wrong_options(config: dict[str, Any]) -> Iterator[str]:
    # Here, not above: torch takes seconds to import, and only planning needs this.
    from unipool.backends import BACKENDS
    from unipool.corpora import CORPORA
    from unipool.scoring import SCORINGS
    from unipool.training import Training

    for section, kinds in (
        ("corpora", CORPORA),
        ("backends", BACKENDS),
        ("scorings", SCORINGS),
    ):
        for name, entry in config.get(section, {}).items():
            where = f"{section}.{name}"
            kind = entry["kind"]
            if kind not in kinds:
                yield f"{where}.kind: unknown {kind!r}; {_suggest(kind, list(kinds))}"
                continue
            options = entry.get("options", {})
            problems = [*_fit(f"{where}.options", options, kinds[kind])]
            yield from problems
            if section == "scorings" and not problems:
                try:
                    kinds[kind](**options)
                except ValueError as error:
                    yield f"{where}.options.{error}"
    trainings = {"train": config["train"]} | {
        f"backends.{name}.train": config["train"] | entry["train"]
        for name, entry in config["backends"].items()
        if "train" in entry
    }
    for where, training in trainings.items():
        problems = [*_fit(where, training, Training)]
        problems = problems or [*_fit_named(where, training)]
        yield from problems
        if not problems:
            try:
                Training(**training)
            except ValueError as error:
                yield f"{where}.{error}"


def _fit_named(where: str, training: dict[str, Any]) -> Iterator[str]:
    """Hold the loss and the maskings of a training against what they are for."""
    from unipool.losses import LOSSES
    from unipool.masking import MASKINGS

    loss = training["loss"]
    if loss not in LOSSES:
        yield f"{where}.loss: unknown {loss!r}; {_suggest(loss, list(LOSSES))}"
    else:
        yield from _fit(f"{where}.loss_options", training["loss_options"], LOSSES[loss])
    for name, options in training.get("masking", {}).items():
        if name not in MASKINGS:
            yield f"{where}.masking: unknown {name!r}; {_suggest(name, list(MASKINGS))}"
            continue
        yield from _fit(f"{where}.masking.{name}", options, MASKINGS[name])


def _fit(where: str, given: Any, call: Callable[..., Any]) -> Iterator[str]:
    """Hold options against the keyword-only arguments of what they are for."""
    if not isinstance(given, dict):
        yield f"{where}: {given!r} is no mapping; write `name: value` for each option"
        return
    parameters = inspect.signature(call).parameters.values()
    known = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    hints = get_type_hints(call.__init__ if inspect.isclass(call) else call)
    for key, value in given.items():
        if key not in known:
            yield f"{where}.{key}: unknown key; {_suggest(key, list(known))}"
            continue
        schema = _schema_of(hints[key])
        for error in Draft202012Validator(schema).iter_errors(value):
            yield f"{where}.{key}: {error.message}{_number_hint(error)}"
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in given:
            yield f"{where}.{key}: missing"


def _schema_of(hint: Any) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(part) for part in get_args(hint)]}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    return {"type": JSON_TYPES[origin or hint]}


def _suggest(name: str, known: list[str]) -> str:
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}known are: {', '.join(known) or 'nothing'}"


def _number_hint(error: ValidationError) -> str:
    """Explain the traps that YAML reads 1e-3, and what stands in quotes, as text."""
    if error.validator != "type" or not isinstance(error.instance, str):
        return ""
    for number in (int, float):
        try:
            return f" (to YAML this is text; write {number(error.instance)})"
        except ValueError:
            continue
    return ""


def _spell(path: Any) -> str:
    spelt = ""
    for step in path:
        spelt = f"{spelt}[{step}]" if isinstance(step, int) else _below(spelt, step)
    return spelt


def _below(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
