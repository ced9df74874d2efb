"""Whether a run failed for want of memory. onnxruntime has no class for that, only words."""

_SIGNS = (
    "failed to allocate memory",  # BFCArena: the device is full
    "smaller than requested bytes",  # BFCArena: its own limit is
    "out of memory",  # CUDA failure 2
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "bad allocation",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch might run where this one did not."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in _SIGNS)
