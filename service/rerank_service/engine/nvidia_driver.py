"""Checks of the NVIDIA driver. They run before CUDA is loaded, since onnxruntime reports no reason for a failure."""

import ctypes
from typing import Any

_LIBRARY = "libcuda.so.1"
_NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE (CUDA driver API, CUresult)."""


def open_driver() -> Any:
    """Return the driver's library; None if it is not installed."""
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


def driver_fault(driver: Any, built_for: str) -> str | None:
    """Return why a driver cannot run programs built for a CUDA version, such as "13.0"; None if it can.

    Within a major version any driver runs any build (NVIDIA, CUDA compatibility).
    """
    if driver is None:
        return f"no NVIDIA driver is installed ({_LIBRARY}): install it, and give the container access to the GPU"
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return "the NVIDIA driver finds no GPU: check that the machine has one and that CUDA_VISIBLE_DEVICES shows it"
    if status:
        return f"the NVIDIA driver does not start (cuInit returns {status}): check that nvidia-smi works"
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if built_for and major < int(built_for.partition(".")[0]):
        return (
            f"the NVIDIA driver supports CUDA {major}.{minor}, but this onnxruntime needs {built_for}: "
            "update the driver"
        )
    return None


def gpu_names(driver: Any) -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use."""
    if driver is None or driver.cuInit(0):
        return ()
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    return tuple(_name(driver, ordinal) for ordinal in range(count.value))


def _name(driver: Any, ordinal: int) -> str:
    name = ctypes.create_string_buffer(100)
    device = ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), ordinal)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode(errors="replace")
