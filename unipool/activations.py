"""How much memory a forward pass asks for until its backward pass."""

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def kept_by(
    forward: Callable[[], Tensor], *, besides: Iterable[Tensor]
) -> tuple[Tensor, int]:
    """Compute something, and count the bytes that it keeps for the backward pass.

    Args:
        forward: what to compute.
        besides: what is there anyway, such as parameters.
    """
    there_anyway = {tensor.untyped_storage().data_ptr() for tensor in besides}
    bytes_of: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there_anyway:
            bytes_of[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    return result, sum(bytes_of.values())
