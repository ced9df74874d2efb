"""Operators that torch cannot trace to ONNX, replaced by others with the same numbers while a graph is exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def traceable_operators() -> Iterator[None]:
    """Replace `RMSNorm`, which torch cannot export, and `repeat_interleave`, whose graph would have a wrong rank."""
    import torch

    original_repeat, original_norm = torch.Tensor.repeat_interleave, torch.nn.RMSNorm.forward

    def repeat(tensor: Any, repeats: Any, dim: int | None = None, **options: Any) -> Any:
        if not isinstance(repeats, int) or dim is None:
            return original_repeat(tensor, repeats, dim, **options)
        axis = dim % tensor.ndim
        sizes = [-1] * (tensor.ndim + 1)
        sizes[axis + 1] = repeats
        return tensor.unsqueeze(axis + 1).expand(*sizes).flatten(axis, axis + 1)

    def norm(module: Any, hidden: Any) -> Any:
        if len(module.normalized_shape) > 1:
            return original_norm(module, hidden)
        eps = torch.finfo(hidden.dtype).eps if module.eps is None else module.eps
        scaled = hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + eps)
        return scaled if module.weight is None else scaled * module.weight

    torch.Tensor.repeat_interleave, torch.nn.RMSNorm.forward = repeat, norm
    try:
        yield
    finally:
        torch.Tensor.repeat_interleave, torch.nn.RMSNorm.forward = original_repeat, original_norm
