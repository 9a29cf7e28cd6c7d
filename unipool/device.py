"""Where tensors live."""

import resource
import sys

import torch

from unipool.distributed import ALONE, World


def pick_device(device: str, world: World = ALONE) -> torch.device:
    """Resolve ``auto`` to a GPU where there is one, else to the CPU.

    From then on float32 means float32 on a GPU: TF32, torch's default of convolutions,
    has 10 bits, and its results change with the batch.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        world: processes that each need a GPU of their own.

    Raises:
        ValueError: when ``cuda`` is asked for and torch finds none, or there are fewer
            GPUs than processes.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "the device asked for is cuda, but torch finds no GPU here; ask for auto or"
            " cpu (`machine: {device: auto}`), or install a torch build for CUDA"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if device == "cuda" and world.size > 1:
        if world.size > torch.cuda.device_count():
            raise ValueError(
                f"the backend's `processes` are {world.size}, but torch finds"
                f" {torch.cuda.device_count()} GPU(s) here; ask for as many, or fewer"
            )
        torch.cuda.set_device(world.rank)
        return torch.device("cuda", world.rank)
    return torch.device(device)


def forget_peak_memory(device: torch.device) -> None:
    """Count the memory of a GPU anew; that of the CPU is counted for the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Give the most memory that this process has needed at once.

    Returns:
        Of a GPU, what its tensors took; of the CPU, what the process had of the
        system's, libraries included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
