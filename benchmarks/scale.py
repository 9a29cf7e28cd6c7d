"""How long Snakemake takes to plan thousands of jobs, and in how much memory.

A dry run of the whole table: 100 backends x 5 corpora x 5 seeds, of which each is
trained, embedded twice and scored. Nothing is made, so each job is planned.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def grid_of(*, backends: int, corpora: int, seeds: int) -> dict[str, object]:
    """Give the settings of a grid of so many runs, for ``--configfile``."""
    names = [f"corpus-{number}" for number in range(corpora)]
    width = {"layer_pool": "weighted-sum", "network": "mean"}
    return {
        "corpora": {
            name: {
                "kind": "synthetic",
                "options": {"root": f"audio/{name}", "speakers": 9}
                | {"utterances_per_speaker": 9, "seed": number},
                "split": {"valid": 3, "test": 3, "seed": 0},
                "valid_trials": f"{name}-valid",
            }
            for number, name in enumerate(names)
        },
        "trials": {
            f"{name}-{split}": {"corpus": name, "split": split, "num_targets": 9}
            | {"seed": 0}
            for name in names
            for split in ("valid", "test")
        },
        "backends": {
            f"backend-{size}": {
                "kind": "combined",
                "options": width | {"embedding_size": size + 1},
            }
            for size in range(backends)
        },
        "grid": [
            {
                "train": name,
                "test": [f"{name}-test"],
                "backbones": ["tiny-wavlm"],
                "backends": [f"backend-{size}" for size in range(backends)],
                "seeds": list(range(seeds)),
            }
            for name in names
        ],
    }


def plan(settings: dict[str, object]) -> tuple[int, float, float]:
    """Dry-run a grid; give its jobs, the seconds, and the most memory (MB)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "grid.yaml")
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        started = time.monotonic()
        said = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "results/table.csv", "--dry-run"),
                *("--quiet", "rules", "--cores", "2", "--directory", folder),
                *("--snakefile", ROOT / "Snakefile", "--configfile"),
                *(ROOT / "config.yaml", file),
            ],
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - started
    if said.returncode:
        sys.exit(said.stdout + said.stderr)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    jobs = re.findall(r"^total +(\d+)$", said.stdout + said.stderr, re.MULTILINE)
    return int(jobs[0]), seconds, memory


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", type=int, default=100)
    parser.add_argument("--corpora", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'jobs':>8} {'seconds':>8} {'MB':>6}")
    # The small one first: of the children the most memory is what is known.
    for backends in (1, options.backends):
        jobs, seconds, memory = plan(
            grid_of(backends=backends, corpora=options.corpora, seeds=options.seeds)
        )
        print(f"{jobs:>8} {seconds:>8.1f} {memory:>6.0f}", flush=True)


if __name__ == "__main__":
    main()
