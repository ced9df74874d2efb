"""Faults of the NVIDIA driver, and the names of GPUs, with a driver that is a Python class."""

import ctypes
from typing import Any

import pytest

from rerank_service.engine import nvidia_driver


class _Driver:
    """A driver with chosen results."""

    def __init__(self, *, init: int = 0, version: int = 13_000, names: tuple[str, ...] = ("NVIDIA H200",)) -> None:
        self._init, self._version, self._names = init, version, names

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._init

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self._version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._names)
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = self._names[device.value].encode()
        return 0


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        (None, "no NVIDIA driver is installed"),
        (_Driver(init=100), "finds no GPU"),
        (_Driver(init=803), "cuInit returns 803"),
        (_Driver(version=12_040), "supports CUDA 12.4, but this onnxruntime needs 13.0: update the driver"),
    ],
)
def test_each_driver_fault_has_a_message(driver: _Driver | None, why: str) -> None:
    """The message says what to do."""
    assert why in (nvidia_driver.driver_fault(driver, "13.0") or "")


def test_driver_of_the_same_or_a_newer_major_version_works() -> None:
    """Within a major version any driver runs any build."""
    for version in (13_000, 13_010, 14_020):
        assert nvidia_driver.driver_fault(_Driver(version=version), "13.1") is None
    assert nvidia_driver.driver_fault(_Driver(), "") is None


def test_gpu_names() -> None:
    """The names are part of the key of a tuning."""
    assert nvidia_driver.gpu_names(_Driver(names=("Tesla T4", "NVIDIA L4"))) == ("Tesla T4", "NVIDIA L4")
    assert nvidia_driver.gpu_names(_Driver(init=100)) == nvidia_driver.gpu_names(None) == ()
