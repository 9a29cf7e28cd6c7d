"""Where tensors live."""

import torch


def pick_device(device: str) -> torch.device:
    """Resolve ``auto`` to a GPU where there is one, else to the CPU.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ValueError: when ``cuda`` is asked for and torch finds none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "machine.device is cuda, but torch finds no GPU here; use auto or cpu, or"
            " install a torch build for CUDA"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
