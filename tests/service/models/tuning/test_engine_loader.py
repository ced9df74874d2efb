"""Engines to measure: loaded one at a time, and only if memory allows it."""

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
from rerank_service.models.loading import load_on, load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning import improve
from rerank_service.models.tuning.engine_loader import EngineLoader, EngineNotLoaded
from rerank_service.models.tuning.memory_estimate import MemoryShortage
from rerank_service.models.variants.cache import Cache
from rerank_service.scheduling.batching import Batch
from support.faster_models import load_faster

INT8 = Engine(Provider.CPU, Precision.INT8)
OPENVINO = Engine(Provider.OPENVINO, Precision.FP32)


def _loaded_encoders() -> int:
    return sum(isinstance(value, CrossEncoder) for value in gc.get_objects())


def test_one_engine_at_a_time_is_loaded_beside_the_served_model(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each memory check, and when the chosen engine is loaded, all engines that were loaded before are released."""
    options = ModelOptions(folder=starter.folder, cache=tmp_path)
    running = load_selected(options)
    gc.collect()
    before, seen = _loaded_encoders(), []

    def memory_left() -> None:
        seen.append(_loaded_encoders())

    def load_chosen(*arguments: Any) -> ServedModel:
        memory_left()
        return load_on(*arguments)

    monkeypatch.setattr(improve, "load_on", load_chosen)
    assert load_faster(options, running, threading.Event(), memory_left) is not None
    assert len(seen) >= 1
    assert set(seen) == {before}


def test_loaded_engine_is_reused(starter: Bundle, tmp_path: Path) -> None:
    """It is loaded again after another one."""
    checked: list[Engine] = []
    loader = EngineLoader(starter, Cache(tmp_path), lanes=1, memory_check=checked.append, check=lambda *_: None)
    for engine in (CPU_FP32, CPU_FP32, INT8, CPU_FP32):
        loader.score_of(engine)
    assert checked == [CPU_FP32, INT8, CPU_FP32]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (RuntimeError("no kernel"), True),
        (BundleInvalid("the graph returns a vector"), False),
        (BundleInvalid("onnxruntime cannot load it: bad allocation"), True),
    ],
)
def test_unknown_errors_and_out_of_memory_are_transient(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, transient: bool
) -> None:
    """The engine loads, but does not run."""

    def fail(encoder: CrossEncoder, batch: Batch) -> NDArray[np.float32]:
        raise error

    monkeypatch.setattr(CrossEncoder, "score", fail)
    loader = EngineLoader(starter, Cache(tmp_path), lanes=1, memory_check=lambda _: None, check=lambda *_: None)
    with pytest.raises(EngineNotLoaded, match=str(error)) as caught:
        loader.score_of(CPU_FP32)
    assert (caught.value.skipped.engine, caught.value.skipped.transient) == (CPU_FP32, transient)


@pytest.mark.parametrize("lasting", [True, False])
def test_lack_of_memory_is_transient_below_the_whole_limit(starter: Bundle, tmp_path: Path, lasting: bool) -> None:
    """Other models of the process, or other processes, may use less at the next start."""
    shortage = MemoryShortage("needs about 2 MB, and the memory limit leaves 1 MB", lasting)
    loader = EngineLoader(starter, Cache(tmp_path), lanes=1, memory_check=lambda _: shortage, check=lambda *_: None)
    with pytest.raises(EngineNotLoaded, match="leaves 1 MB") as caught:
        loader.score_of(INT8)
    assert caught.value.skipped.transient is not lasting
