"""The memory limit at the start of a server, read from folders that look like /proc and /sys."""

from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rerank_service.engine.cgroup_limits import memory_limits
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import MemoryTooSmall
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.start_memory import check_memory, may_exceed
from support.cgroup_tree import CgroupTree
from support.hub_folder import write_hub_folder

MB = 10**6
WARNING = ("memory may be too small", "cpu fp32")


def _tree(system: Path, **files: str) -> CgroupTree:
    """Write the limits of a service of systemd that uses 30 MB."""
    tree = CgroupTree(system)
    tree.process("0::/system.slice/rerank.service")
    used = {"memory.current": str(30 * MB)}
    tree.group("system.slice/rerank.service", used | {f"memory.{name}": content for name, content in files.items()})
    return tree


def _load(bundle: Bundle, tree: CgroupTree) -> ServedModel:
    options = ModelOptions(folder=bundle.folder, cache=tree.system / "cache", lanes=1)
    return load_selected(options, partial(memory_limits, tree.system))


def test_model_whose_weights_exceed_the_limit_is_refused(starter: Bundle, tmp_path: Path) -> None:
    """The message has the need, the limit, the file of the limit, and what to do."""
    tree = _tree(tmp_path, max=str(20 * MB))
    with pytest.raises(MemoryTooSmall) as refused:
        _load(starter, tree)
    assert str(refused.value) == (
        f"{starter.folder} needs about 207 MB of memory on cpu fp32, at least 29 MB of it for weights, and the limit "
        f"in {tmp_path}/sys/fs/cgroup/system.slice/rerank.service/memory.max is 20 MB: raise the limit "
        "(resources.limits.memory of a pod, --memory of docker, MemoryMax= of systemd), or serve a smaller model"
    )


def test_model_that_cannot_fit_beside_the_loaded_ones_is_refused(starter: Bundle, tmp_path: Path) -> None:
    """The message has the memory that the process holds. The same model fits alone."""
    tree = _tree(tmp_path, max=str(100 * MB))
    check_memory(starter, CPU_FP32, 1, memory_limits(tree.system))
    with pytest.raises(MemoryTooSmall) as refused:
        check_memory(starter, CPU_FP32, 1, memory_limits(tree.system), held=80 * MB)
    assert (
        "at least 29 MB of it for weights, the process with the loaded models holds 80 MB, and the limit in "
        f"{tmp_path}/sys/fs/cgroup/system.slice/rerank.service/memory.max is 100 MB: unload another model, raise"
    ) in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "warned"),
    [
        ({"max": str(100 * MB)}, True),
        ({"max": "max", "high": str(40 * MB)}, True),  # slows the process down
        ({"max": str(40 * MB), "swap.max": str(20 * MB)}, True),  # the rest moves to swap
        ({"max": str(4000 * MB)}, False),
        ({"max": "max"}, False),
    ],
)
def test_model_that_may_fit_is_served(limits: dict[str, str], warned: bool, starter: Bundle, tmp_path: Path) -> None:
    """The estimate is an upper bound, so it only warns."""
    tree = _tree(tmp_path, **limits)
    tree.write("proc", meminfo="SwapTotal: 99999999 kB\n")
    with capture_logs() as logged:
        model = _load(starter, tree)
    assert model.encoder.engine == CPU_FP32
    warnings = [line for line in logged if line["log_level"] == "warning"]
    assert [(line["event"], line["engine"]) for line in warnings] == ([WARNING] if warned else [])
    assert all("needs about 207 MB, and the memory limit leaves" in line["why"] for line in warnings)


@pytest.mark.parametrize(
    "engine",
    [
        Engine(Provider.CUDA, Precision.FP32),
        Engine(Provider.OPENVINO, Precision.BF16),
        Engine(Provider.CPU, Precision.INT8),
    ],
)
def test_engine_with_unknown_need_is_not_refused(engine: Engine, starter: Bundle, tmp_path: Path) -> None:
    """CUDA holds weights in the memory of the device, OpenVINO rounds them, and an int8 graph may be in the cache."""
    tree = _tree(tmp_path, max=str(40 * MB))
    with capture_logs() as logged:
        check_memory(starter, engine, 1, memory_limits(tree.system))
    assert [line["event"] for line in logged] == ["memory may be too small"]


def test_files_that_the_model_does_not_use_do_not_count(tmp_path: Path) -> None:
    """A hub folder may have the graph in several precisions. No loaded model is unloaded for their bytes."""
    folder = write_hub_folder(tmp_path / "hub")
    with (folder / "model_fp16.onnx").open("wb") as other:
        other.truncate(4_000 * MB)
    bundle = open_bundle(folder)
    limits = memory_limits(_tree(tmp_path, max=str(1_000 * MB)).system)
    assert not may_exceed(bundle, CPU_FP32, 1, limits)
    assert may_exceed(bundle, CPU_FP32, 100, limits)
