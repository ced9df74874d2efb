"""NVIDIA's driver, asked before CUDA is: onnxruntime only says that it could not load."""

import ctypes
from typing import Any

_LIBRARY = "libcuda.so.1"
_NO_DEVICE = 100


def open_driver() -> Any:
    """The driver's library; None where there is none."""
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


def fault(driver: Any, built_for: str) -> str | None:
    """Why a driver cannot run what was built for a version of CUDA, such as 13.0; None if it can. Within a major
    version any driver runs any build (NVIDIA, CUDA compatibility)."""
    if driver is None:
        return f"there is no NVIDIA driver here ({_LIBRARY}): install it, and let the container have the GPU"
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return "the NVIDIA driver finds no GPU: none is there, or CUDA_VISIBLE_DEVICES hides it"
    if status:
        return f"the NVIDIA driver does not start (cuInit gives {status}): does nvidia-smi run here?"
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if built_for and major < int(built_for.partition(".")[0]):
        return f"the NVIDIA driver has CUDA {major}.{minor}, and this onnxruntime is built for {built_for}: update it"
    return None


def gpus(driver: Any) -> tuple[str, ...]:
    """Names of the GPUs that this process may use."""
    if driver is None or driver.cuInit(0):
        return ()
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    return tuple(_name(driver, number) for number in range(count.value))


def _name(driver: Any, number: int) -> str:
    name = ctypes.create_string_buffer(100)
    device = ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode(errors="replace")
