"""The house rules: who may import whom, and one door for each foreign library."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "unipool"

NOUNS = {"manifest", "trials", "cache", "checkpoint", "embeddings"}
VERBS = {
    *("prepare", "pairing", "fetch", "plan", "extract"),
    *("train", "embed", "score", "score_pairs", "fuse"),
    *("probe", "mapping", "tabulate", "report"),
}
FACES = {"cli", "applying"}
DOORS = {
    "zarr": {"cache"},
    "google_crc32c": {"cache"},
    "transformers": {"backbone"},
    "huggingface_hub": {"backbone"},
    "peft": {"backbone"},
    "soundfile": {"audio"},
    "soxr": {"audio"},
    "av": {"audio"},
    "h5py": {"embeddings"},
    "lhotse": {"corpora"},
    "altair": {"charts"},
    "vl_convert": {"charts"},
    "itables": {"report"},
    "jinja2": {"report"},
}


def modules():
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports_of(path):
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room_of(module):
    """Give the file or folder that a module is, or is in."""
    return module.split(".")[0]


def our_imports_of(room):
    """Give the other rooms that one imports from."""
    return {
        room_of(name.removeprefix("unipool."))
        for module, path in modules().items()
        if room_of(module) == room
        for name in imports_of(path)
        if name.startswith("unipool.")
    } - {room}


def test_nouns_and_verbs_are_there():
    assert set(map(room_of, modules())) >= NOUNS | VERBS


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_a_noun_imports_nothing_of_ours(noun):
    assert our_imports_of(noun) == set()


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_imports_no_other_verb(verb):
    assert our_imports_of(verb) & VERBS == set()


def test_parts_import_no_verb():
    rooms = set(map(room_of, modules())) - VERBS - FACES

    assert {room for room in rooms if our_imports_of(room) & VERBS} == set()


def test_only_a_face_imports_a_face():
    rooms = set(map(room_of, modules())) - FACES - {"__init__"}

    assert {room for room in rooms if our_imports_of(room) & FACES} == set()


def test_nobody_imports_in_a_circle():
    graph = {room: our_imports_of(room) for room in map(room_of, modules())}

    def reaches_itself(start):
        seen, stack = set(), list(graph[start])
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(graph.get(name, ()))
        return start in seen

    assert [name for name in graph if reaches_itself(name)] == []


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_foreign_library_has_one_door(library):
    users = {
        room_of(name)
        for name, path in modules().items()
        if library in {module.split(".")[0] for module in imports_of(path)}
    }

    assert users <= DOORS[library]


def test_the_package_does_not_know_the_workflow():
    guilty = {
        name
        for name, path in modules().items()
        if {module.split(".")[0] for module in imports_of(path)}
        & {"snakemake", "workflow", "yaml"}
    }

    assert guilty == set()


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_an_adapter_calls_the_verb_of_its_own_name(script):
    tree = ast.parse(script.read_text("utf-8"))
    verbs = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module.removeprefix("unipool.") in VERBS
        for alias in node.names
        if alias.name.islower()
    }

    assert verbs == {script.stem}
    assert len(script.read_text("utf-8").splitlines()) <= 40


def test_each_rule_has_its_script_and_its_log_folder():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        text = path.read_text("utf-8")
        for name, body in re.findall(
            r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE
        ):
            assert f'"../scripts/{name}.py"' in body
            assert f'"logs/{name}/' in body
            assert f'"benchmarks/{name}/' in body


def lines_of_code(function):
    """Count the lines of a function after its docstring."""
    has_docstring = ast.get_docstring(function) is not None
    first = function.body[int(has_docstring and len(function.body) > 1)]
    return function.end_lineno - first.lineno + 1


def test_modules_and_functions_stay_small():
    long = {}
    for name, path in modules().items():
        text = path.read_text("utf-8")
        if len(text.splitlines()) > 260:
            long[name] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and lines_of_code(node) > 65:
                long[f"{name}.{node.name}"] = lines_of_code(node)

    assert long == {}


def pip_part(environment):
    dependencies = yaml.safe_load(environment.read_text("utf-8"))["dependencies"]
    return next(entry["pip"] for entry in dependencies if isinstance(entry, dict))


def test_environment_yml_installs_this_package_with_the_tested_versions():
    extras = set(re.findall(r"\w+", "demo,test,check"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    python = conda[0].removeprefix("python=")
    constraint, package = pip_part(ROOT / "environment.yml")

    # Nothing but Python and pip is conda's: all else is said once, in pyproject.toml.
    assert [re.split("[=<>]", name)[0] for name in conda] == ["python", "pip"]
    assert SpecifierSet(project["requires-python"]).contains(python)

    assert constraint == "--constraint constraints.txt"
    assert package == "--editable .[demo,lhotse,test,check]"
    assert extras <= set(project["optional-dependencies"])


def test_constraints_pin_a_version_that_each_requirement_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        Requirement(line)
        for lines in (
            project["dependencies"],
            *project["optional-dependencies"].values(),
        )
        for line in lines
    ]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            pins[pin.name.lower().replace("_", "-")] = specifier.version

    for requirement in wanted:
        pinned = pins[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pinned), requirement
