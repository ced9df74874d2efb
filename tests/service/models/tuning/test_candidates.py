"""Engines that are measured: loaded one at a time, where memory allows it."""

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.loading import ModelOptions, load_better, load_selected
from rerank_service.models.tuning.candidates import Candidates, NotLoaded
from rerank_service.models.tuning.memory_estimate import lacking, needed, weight_bytes
from rerank_service.models.variants.cache import Cache
from rerank_service.scheduling.batching import Batch

INT8 = Engine(Provider.CPU, Precision.INT8)
OPENVINO = Engine(Provider.OPENVINO, Precision.FP32)


def _loaded() -> int:
    return sum(isinstance(one, CrossEncoder) for one in gc.get_objects())


def test_beside_the_model_served_one_engine_at_a_time_is_loaded(starter: Bundle, tmp_path: Path) -> None:
    """Each time that memory is asked for, all engines that were loaded before are gone."""
    options = ModelOptions(starter.folder, tmp_path, tune_seconds=3600)
    running = load_selected(options)
    gc.collect()
    before, seen = _loaded(), []

    def left() -> None:
        seen.append(_loaded())

    assert load_better(options, running, threading.Event(), left) is not None
    assert len(seen) >= 1
    assert set(seen) == {before}


def test_an_engine_is_loaded_once_while_it_is_asked_for(starter: Bundle, tmp_path: Path) -> None:
    """And again after another one."""
    asked: list[Engine] = []
    candidates = Candidates(starter, Cache(tmp_path), lanes=1, lacking=asked.append)
    for engine in (CPU_FP32, CPU_FP32, INT8, CPU_FP32):
        candidates.score_of(engine)
    assert asked == [CPU_FP32, INT8, CPU_FP32]


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (RuntimeError("no kernel"), True),
        (BundleInvalid("the graph gives a vector"), False),
        (BundleInvalid("onnxruntime cannot load it: bad allocation"), True),
    ],
)
def test_only_what_lasts_is_remembered_of_an_engine_that_fails(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, passing: bool
) -> None:
    """It loads, and does not run."""

    def fail(encoder: CrossEncoder, batch: Batch) -> NDArray[np.float32]:
        raise error

    monkeypatch.setattr(CrossEncoder, "score", fail)
    candidates = Candidates(starter, Cache(tmp_path), lanes=1, lacking=lambda _: None)
    with pytest.raises(NotLoaded, match=str(error)) as caught:
        candidates.score_of(CPU_FP32)
    assert (caught.value.skipped.engine, caught.value.skipped.passing) == (CPU_FP32, passing)


def test_memory_that_an_engine_needs_grows_with_weights_and_sessions(starter: Bundle) -> None:
    """OpenVINO has a session for each lane; int8 is derived first, unless the bundle brings it."""
    weights = weight_bytes(starter)
    assert weights == sum(path.stat().st_size for path in starter.folder.glob("model.onnx*"))
    fixed = needed(starter, CPU_FP32, 1) - 2 * weights
    assert 0 < fixed < 100 * 2**20
    assert needed(starter, CPU_FP32, 8) == 2 * weights + fixed
    assert needed(starter, OPENVINO, 4) == 8 * weights + fixed
    assert needed(starter, INT8, 4) == 3 * weights + fixed


def test_a_graph_with_its_weights_inside_is_not_read(tmp_path: Path, small_model: Bundle) -> None:
    """It may be as large as the memory that is left."""
    large = tmp_path / "model.onnx"
    with large.open("wb") as file:
        file.truncate(600 * 10**6)
    bundle: Any = type("", (), {"graph": large, "variant": lambda *_: None})
    assert weight_bytes(bundle) == 600 * 10**6
    left = 2 * 2**30 - 1_400 * 10**6  # a pod of 2 GiB, in which the model is served
    assert lacking(bundle, INT8, 2, lambda: left) == "needs about 1,900 MB, and the memory limit leaves 747 MB"
    assert lacking(bundle, OPENVINO, 2, lambda: left) == "needs about 2,500 MB, and the memory limit leaves 747 MB"
    assert lacking(small_model, INT8, 2, lambda: left) is None
    assert lacking(bundle, INT8, 2, lambda: None) is None
