"""What a person types: ``unipool plan``, ``cache``, ``metrics``, ``compare`` ..."""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd

from unipool.cache import FoundSet, damage_of, find_sets, remove_part
from unipool.cli.applying import add_applying
from unipool.cli.measures import add_measures
from unipool.lock import only_writer

PLAN = Path("results/plan.csv")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; give its exit status."""
    parser = argparse.ArgumentParser(prog="unipool", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    planning = commands.add_parser(
        "plan",
        help="what the grid's cache will take: audio, bytes, hours, free disk",
        description="Fill results/plan.csv; refuse a grid that does not fit the disk."
        " Corpora and backbones of the grid are prepared first; the cache is not"
        " touched.",
    )
    planning.add_argument("--configfile", action="append", default=[], metavar="FILE")
    planning.add_argument("--cores", default="all")
    planning.set_defaults(run=_plan)

    of_cache = commands.add_parser("cache", help="list, verify or remove what is there")
    verbs = of_cache.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        (
            "list",
            _list,
            "what is there, whether it is finished, how many runs were trained with it",
        ),
        ("verify", _verify, "read all of it; name what is damaged and what mends it"),
        ("remove", _remove, "delete parts; finished runs do not miss them"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument(
            "which",
            nargs="+" if name == "remove" else "*",
            metavar="BACKBONE[/CORPUS[/SPLIT[/VIEW]]]",
        )
        verb.add_argument("--cache-dir", type=Path, default=Path("cache"))
        if name == "remove":
            verb.add_argument("--yes", action="store_true", help="do not ask")
        verb.set_defaults(run=run)

    importing = commands.add_parser(
        "import-checkpoint",
        help="make a run's folder of a checkpoint of the published code",
        description="Read a model_best.pt of UniPool-SV or L-TDNN, or a model.state of"
        " LAP, tell by its tensors which backend it is and of what sizes, and write"
        " model.safetensors and model.json into a folder. Where a run of the grid would"
        " stand, it is embedded and scored like one.",
    )
    importing.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    importing.add_argument("folder", type=Path, metavar="FOLDER")
    importing.set_defaults(run=_import_checkpoint)

    add_applying(commands)
    add_measures(commands)

    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # of `| head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"unipool: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130


def _plan(options: argparse.Namespace) -> int:
    if not Path("Snakefile").exists():
        raise ValueError("no Snakefile here; run this in the project's folder")
    command = [sys.executable, "-m", "snakemake", str(PLAN), "--cores", options.cores]
    command += ["--forcerun", "plan", "--quiet", "rules"]
    if options.configfile:
        command += ["--configfile", *options.configfile]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        _show(pd.read_csv(PLAN))
    return status


def _list(options: argparse.Namespace) -> int:
    sets = _chosen(options)
    used = _runs_of_caches()
    rows = []
    for one in sets:
        backbone, corpus, split, view = one.folder.parts[-4:]
        frames = sum(facts["frames"] for facts in one.facts)
        shift = one.facts[0]["frame_shift"] if one.facts else 0.0
        finished = len(one.receipts)
        rows.append(
            {
                "backbone": backbone,
                "corpus": corpus,
                "split": split,
                "view": view,
                "parts": f"{finished}/{one.num_parts}",
                "unfinished": len(one.unfinished),
                "hours": round(frames * shift / 3600, 2),
                "layers": len(one.facts[0]["layers"]) if one.facts else 0,
                "dtype": one.facts[0]["dtype"] if one.facts else "",
                "GB": round(one.num_bytes / 1e9, 3),
                "runs": used["/".join((backbone, corpus, split, view))],
            }
        )
    table = pd.DataFrame(rows)
    _show(table)
    _say(
        f"{table['GB'].sum():.3f} GB in {options.cache_dir}. runs: finished ones that"
        " were trained with it; they do not need it any more."
    )
    return 0


def _verify(options: argparse.Namespace) -> int:
    damages = 0
    for one in _chosen(options):
        for receipt in one.receipts:
            damage = damage_of(receipt)
            damages += damage is not None
            _say(f"{receipt.with_suffix('')}: {damage or 'whole'}")
        for store in one.unfinished:
            _say(f"{store.with_suffix('')}: unfinished; its job goes on from it")
    return int(damages > 0)


def _remove(options: argparse.Namespace) -> int:
    sets = _chosen(options)
    total = sum(one.num_bytes for one in sets)
    for one in sets:
        _say(f"{one.folder}: {len(one.receipts)} parts, {one.num_bytes / 1e9:.3f} GB")
    if not options.yes:
        answer = input(f"Remove {total / 1e9:.3f} GB? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            return 1
    for one in sets:
        stores = [*one.receipts, *one.unfinished]
        for receipt in [store.with_suffix(".json") for store in stores]:
            with only_writer(receipt.with_suffix(".lock"), wait=False):
                remove_part(receipt)
    return 0


def _import_checkpoint(options: argparse.Namespace) -> int:
    # Here, not above: torch takes seconds to import.
    from unipool.importing import import_published

    if (options.folder / "model.json").exists():
        raise ValueError(
            f"{options.folder}: there is a run already; name another folder, or remove"
            " it first"
        )
    info = import_published(options.checkpoint, options.folder)
    _say(
        f"{options.folder}: {info['kind']}, {info['backend_parameters']:,} parameters,"
        f" {info['num_layers']} layers x {info['hidden_size']}, {info['options']}"
    )
    return 0


def _chosen(options: argparse.Namespace) -> list[FoundSet]:
    sets = find_sets(options.cache_dir)
    if not sets:
        raise ValueError(
            f"{options.cache_dir}: no parts of a cache there; name its folder with"
            " --cache-dir, as `cache_dir:` of the config does"
        )
    prefixes = [Path(which).parts for which in options.which]
    chosen = [
        one
        for one in sets
        if not prefixes
        or any(one.folder.parts[-4:][: len(prefix)] == prefix for prefix in prefixes)
    ]
    if not chosen:
        there = sorted({"/".join(one.folder.parts[-4:]) for one in sets})
        raise ValueError(
            f"nothing is called {' or '.join(options.which)}; there are"
            f" {', '.join(there)}"
        )
    return chosen


def _runs_of_caches() -> Counter[str]:
    """Count the finished runs that were trained with each set of parts."""
    used: Counter[str] = Counter()
    for model in Path("results/runs").glob("*/*/*/*/model.json"):
        used.update(json.loads(model.read_text("utf-8"))["caches"].keys())
    return used


def _show(table: pd.DataFrame) -> None:
    _say(table.to_string(index=False))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
