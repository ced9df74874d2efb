"""The memory that an engine takes, and the check against the limit."""

from pathlib import Path
from typing import Any

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.memory_estimate import estimated_bytes, memory_shortage, weight_bytes

INT8 = Engine(Provider.CPU, Precision.INT8)


OPENVINO = Engine(Provider.OPENVINO, Precision.FP32)


def test_estimate_grows_with_weights_and_sessions(starter: Bundle) -> None:
    """OpenVINO has a session per lane. int8 is derived first, unless the bundle contains it."""
    weights = weight_bytes(starter)
    assert weights == sum(path.stat().st_size for path in starter.folder.glob("model.onnx*"))
    fixed = estimated_bytes(starter, CPU_FP32, 1) - 2 * weights
    assert 0 < fixed < 100 * 2**20
    assert estimated_bytes(starter, CPU_FP32, 8) == 2 * weights + fixed
    assert estimated_bytes(starter, OPENVINO, 4) == 8 * weights + fixed
    assert estimated_bytes(starter, INT8, 4) == 3 * weights + fixed


def test_large_graph_is_not_read_for_the_estimate(tmp_path: Path, small_model: Bundle) -> None:
    """It may be as large as the memory that is left."""
    large = tmp_path / "model.onnx"
    with large.open("wb") as file:
        file.truncate(600 * 10**6)
    bundle: Any = type("", (), {"graph": large, "variant": lambda *_: None})
    assert weight_bytes(bundle) == 600 * 10**6
    left = 2 * 2**30 - 1_400 * 10**6  # a pod of 2 GiB, in which the model is served
    assert memory_shortage(bundle, INT8, 2, lambda: left) == "needs about 1,900 MB, and the memory limit leaves 747 MB"
    assert (
        memory_shortage(bundle, OPENVINO, 2, lambda: left) == "needs about 2,500 MB, and the memory limit leaves 747 MB"
    )
    assert memory_shortage(small_model, INT8, 2, lambda: left) is None
    assert memory_shortage(bundle, INT8, 2, lambda: None) is None
