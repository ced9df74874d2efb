"""Recognize runs that failed for lack of memory. onnxruntime has no exception class for them, only messages."""

_SIGNS = (
    "failed to allocate memory",  # BFCArena: the device is full
    "smaller than requested bytes",  # BFCArena: its own limit is reached
    "out of memory",  # CUDA failure 2
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "bad allocation",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means a lack of memory, so that a smaller batch may run."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in message for sign in _SIGNS)
