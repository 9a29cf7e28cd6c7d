"""Which code and which libraries made a file."""

import subprocess
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("numpy", "scikit-learn", "torch", "transformers", "zarr")


def git_commit() -> str:
    """Name the commit of the code that runs, ``-dirty`` when the tree differs from it.

    Returns:
        The commit's first 12 digits, or ``unknown`` outside a git checkout.
    """
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def versions() -> dict[str, str]:
    """Give the versions that a result depends on, unipool's and its commit first."""
    return {
        "unipool": version("unipool"),
        "git_commit": git_commit(),
        **{library: version(library) for library in LIBRARIES},
    }
