"""Hold options against what they are for.

What belongs to a corpus kind, features, a backend, a scoring or the training is read
off the signatures they have in ``unipool``, so an option has one name from the config
to its constructor and no list of names to keep up.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator, ValidationError

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


OF_ENCODERS = ("normalize", "dtype", "window_seconds", "overlap_seconds")
"""Keys of backbones that mean nothing to features."""


def wrong_options(config: dict[str, Any]) -> Iterator[str]:
    """List what does not fit, each with the key it is about."""
    # Here, not above: torch takes seconds to import, and only planning needs this.
    from unipool.backends import BACKENDS, PAIRWISE
    from unipool.corpora import CORPORA
    from unipool.scoring import SCORINGS
    from unipool.training import Training

    for section, kinds in (
        ("corpora", CORPORA),
        ("backends", BACKENDS | PAIRWISE),
        ("scorings", SCORINGS),
    ):
        for name, entry in config.get(section, {}).items():
            where = f"{section}.{name}"
            if "start" in entry:  # all but its `train` is that of another entry
                continue
            kind = entry["kind"]
            if kind not in kinds:
                yield f"{where}.kind: unknown {kind!r}; {suggest(kind, list(kinds))}"
                continue
            options = entry.get("options", {})
            problems = [*_fit(f"{where}.options", options, kinds[kind])]
            problems = problems or [*_fit_inner(f"{where}.options", options)]
            yield from problems
            if section == "scorings" and not problems:
                try:
                    kinds[kind](**options)
                except ValueError as error:
                    yield f"{where}.options.{error}"
    for name, entry in config["backbones"].items():
        if "features" in entry:
            yield from _fit_features(f"backbones.{name}", entry)
    backends = config["backends"]
    trainings = {"train": config["train"]} | {
        f"backends.{name}.train": config["train"] | entry["train"]
        for name, entry in backends.items()
        if entry["train"] not in ({}, backends.get(entry.get("start"), {}).get("train"))
    }
    for name, entry in backends.items():
        yield from _unfit_batch(f"backends.{name}", entry, config["train"])
    for where, training in trainings.items():
        problems = [*_fit(where, training, Training)]
        problems = problems or [*_fit_named(where, training)]
        yield from problems
        if not problems:
            try:
                Training(**training)
            except ValueError as error:
                yield f"{where}.{error}"
    for name, entry in backends.items():
        yield from _unfit_loss(f"backends.{name}", entry, config["train"])


def _unfit_batch(
    where: str, entry: dict[str, Any], train: dict[str, Any]
) -> Iterator[str]:
    """Hold the size of a batch against what it is divided into."""
    from unipool.backends import PAIRWISE

    size, processes = (train | entry["train"]).get("batch_size"), entry["processes"]
    if not isinstance(size, int) or isinstance(size, bool):
        return  # said elsewhere
    if size % processes:
        yield (
            f"{where}.processes: {processes} cannot share a batch of {size}; make"
            " train.batch_size a multiple of it"
        )
    elif entry["kind"] in PAIRWISE and size % (2 * processes):
        yield (
            f"{where}.train.batch_size: is {size}, which is not whole pairs of crops"
            f" for each process; make it a multiple of {2 * processes}"
        )


def _unfit_loss(
    where: str, entry: dict[str, Any], train: dict[str, Any]
) -> Iterator[str]:
    """Hold a loss against what a backend gives."""
    from unipool.backends import PAIRWISE
    from unipool.losses import LOSSES

    loss, kind = (train | entry["train"]).get("loss"), entry["kind"]
    if loss not in LOSSES or LOSSES[loss].of_pairs == (kind in PAIRWISE):
        return
    fit = [name for name, one in LOSSES.items() if one.of_pairs == (kind in PAIRWISE)]
    of = "pairs of utterances" if LOSSES[loss].of_pairs else "embeddings"
    yield (
        f"{where}.train.loss: {loss!r} is of {of}, which {kind!r} does not give; known"
        f" are: {', '.join(fit)}"
    )


def _fit_inner(where: str, options: dict[str, Any]) -> Iterator[str]:
    """Hold the backend that learns with an encoder against what it can be."""
    from unipool.backends import OF_LAYERS

    if "backend" not in options:
        return
    kind, inner = options["backend"], options.get("backend_options") or {}
    if kind not in OF_LAYERS:
        yield f"{where}.backend: unknown {kind!r}; {suggest(kind, list(OF_LAYERS))}"
        return
    yield from _fit(f"{where}.backend_options", inner, OF_LAYERS[kind])


def _fit_features(where: str, entry: dict[str, Any]) -> Iterator[str]:
    """Hold a backbone of acoustic features against what it can be."""
    import torch

    from unipool.backbone import FEATURES

    for key in OF_ENCODERS:
        if key in entry:
            yield f"{where}.{key}: is about encoders; of features there are `options:`"
    kind, options = entry["features"], entry.get("options", {})
    if kind not in FEATURES:
        yield f"{where}.features: unknown {kind!r}; {suggest(kind, list(FEATURES))}"
        return
    problems = [*_fit(f"{where}.options", options, FEATURES[kind])]
    yield from problems
    if not problems:
        try:
            FEATURES[kind](torch.device("cpu"), **options)
        except ValueError as error:
            yield f"{where}.options.{error}"


def _fit_named(where: str, training: dict[str, Any]) -> Iterator[str]:
    """Hold what a training names against what it is for."""
    from unipool.losses import LOSSES
    from unipool.masking import MASKINGS
    from unipool.optimizers import OPTIMIZERS
    from unipool.schedules import SCHEDULES
    from unipool.training import Training

    parts: dict[str, dict[str, Callable[..., Any]]] = {
        "loss": dict(LOSSES),
        "optimizer": dict(OPTIMIZERS),
        "schedule": dict(SCHEDULES),
    }
    for part, known in parts.items():
        name = training.get(part, getattr(Training, part, None))
        key = f"{part}_options"
        if name not in known:
            yield f"{where}.{part}: unknown {name!r}; {suggest(name, list(known))}"
            continue
        yield from _fit(f"{where}.{key}", training.get(key, {}), known[name])
    for name, options in training.get("masking", {}).items():
        if name not in MASKINGS:
            yield f"{where}.masking: unknown {name!r}; {suggest(name, list(MASKINGS))}"
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
            yield f"{where}.{key}: unknown key; {suggest(key, list(known))}"
            continue
        hint = hints.get(key, Any)
        if hint is int and isinstance(value, float):
            yield f"{where}.{key}: {value} is not of type 'integer'; write {value:.0f}"
            continue
        schema = _schema_of(hint)
        for error in Draft202012Validator(schema).iter_errors(value):
            yield f"{where}.{key}: {error.message}{number_hint(error)}"
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in given:
            yield f"{where}.{key}: missing"


def _schema_of(hint: Any) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(part) for part in get_args(hint)]}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    known = JSON_TYPES.get(origin or hint)
    return {} if known is None else {"type": known}  # a backend of one's own takes any


def suggest(name: str, known: list[str]) -> str:
    """Say what was probably meant, and what there is."""
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}known are: {', '.join(known) or 'nothing'}"


def number_hint(error: ValidationError) -> str:
    """Explain the traps that YAML reads 1e-3, and what stands in quotes, as text."""
    if error.validator != "type" or not isinstance(error.instance, str):
        return ""
    for number in (int, float):
        try:
            return f" (to YAML this is text; write {number(error.instance)})"
        except ValueError:
            continue
    return ""
