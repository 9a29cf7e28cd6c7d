"""What one more small run costs, with a job of its own and trained with others.

python benchmarks/runs.py [--runs 16] [--steps 100] [--cores 2]

Fills a small table through Snakemake; then adds runs to it whose training takes next to
no time: each with a job of its own, and as many that share one job on each core. Prints
seconds for each run added, by rule and in all, and how long each verb takes to import.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
RULES = ("train_together", "train", "embed", "score")


def settings(seeds: list[int], *, steps: int, runs_per_job: int) -> dict[str, object]:
    """Give a grid of one small backend with so many seeds, for ``--configfile``."""
    return {
        "machine": {"runs_per_job": runs_per_job},
        "corpora": {
            "small": {
                "kind": "synthetic",
                "options": {"root": "audio", "speakers": 24, "seed": 0}
                | {"utterances_per_speaker": 6},
                "split": {"valid": 6, "test": 6, "seed": 0},
                "valid_trials": "small-valid",
            }
        },
        "trials": {
            f"small-{split}": {"corpus": "small", "split": split, "seed": 0}
            | {"num_targets": 90}
            for split in ("valid", "test")
        },
        "train": {"steps": steps, "validate_every": steps},
        "grid": [
            {
                "train": "small",
                "test": ["small-test"],
                "backbones": ["tiny-wavlm"],
                "backends": ["weighted-sum"],
                "seeds": seeds,
            }
        ],
    }


def fill(folder: Path, grid: dict[str, object], cores: int) -> float:
    """Fill the table of a grid; give the seconds."""
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump(grid), encoding="utf-8")
    started = time.monotonic()
    said = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "results/table.csv"),
            *("--cores", str(cores), "--directory", folder),
            *("--snakefile", ROOT / "Snakefile"),
            *("--configfile", ROOT / "config.yaml", file),
        ],
        capture_output=True,
        text=True,
    )
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    return time.monotonic() - started


def seconds_of_jobs(folder: Path, since: float) -> pd.Series:
    """Add up what Snakemake measured of the jobs since then, by rule."""
    found = {
        rule: sum(
            pd.read_csv(path, sep="\t")["s"].sum()
            for path in (folder / "benchmarks" / rule).rglob("*.tsv")
            if path.stat().st_mtime > since
        )
        for rule in RULES
    }
    return pd.Series(found)


def main() -> None:
    """Print the seconds of imports, then those of a run by rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    for module in ("torch", "unipool.train", "unipool.embed", "unipool.score"):
        command = [sys.executable, "-c", f"import {module}"]
        took = []
        for _ in range(3):
            started = time.monotonic()
            subprocess.run(command, check=True)
            took.append(time.monotonic() - started)
        print(f"import {module:<14} {min(took):5.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, runs = Path(name), options.runs
        seeds = list(range(2 * runs + 1))
        fill(folder, settings([0], steps=options.steps, runs_per_job=1), options.cores)
        found = {}
        for label, many, runs_per_job in (
            ("apart", seeds[: runs + 1], 1),
            ("together", seeds, math.ceil(runs / options.cores)),
        ):
            since = time.time()
            grid = settings(many, steps=options.steps, runs_per_job=runs_per_job)
            seconds = fill(folder, grid, options.cores)
            jobs = seconds_of_jobs(folder, since)
            found[label] = pd.concat([jobs, pd.Series({"in all": seconds})]) / runs
    table = pd.DataFrame(found)
    table["ratio"] = table["together"] / table["apart"]
    print(f"seconds for each of {runs} runs of {options.steps} steps, of the jobs and")
    print(f"in all on {options.cores} cores:")
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
