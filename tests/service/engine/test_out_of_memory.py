"""Runs that fail for lack of memory: recognized, reported, and followed by a run that shrinks the arena."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rerank_service.engine.graph_io import GraphIO
from rerank_service.engine.io_binding import (
    BoundSession,
)
from rerank_service.engine.kinds import CPU_FP32
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Feed, open_session, ort, session_options
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch


def _session(bundle: Bundle) -> Any:
    return open_session(bundle.graph, session_options(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Status Message: bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 939524096", True),
        ("BFCArena::AllocateRawInternal Available memory of 100 is smaller than requested bytes of 200", True),
        ("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", True),
        ("cudaErrorMemoryAllocation", True),
        ("std::bad_alloc", True),
        ("CUDA failure 700: an illegal memory access was encountered", False),
        ("indices element out of data bounds, idx=105 must be within the inclusive range [-105,104]", False),
    ],
)
def test_out_of_memory_is_recognized_by_the_message(message: str, expected: bool) -> None:
    """onnxruntime has no exception class for it."""
    assert is_out_of_memory(RuntimeError(message)) is expected


class _Full:
    """A runner whose first runs fail with the given errors."""

    graph_io = GraphIO({"input_ids": np.int64}, "logits")

    def __init__(self, *errors: str) -> None:
        self._errors = list(errors)

    def run(self, feed: Feed, options: ort.RunOptions) -> Any:
        if self._errors:
            raise RuntimeError(self._errors.pop(0))
        return np.zeros((len(feed["input_ids"]), 1), np.float32)


def test_run_out_of_memory_raises_out_of_memory(small_model: Bundle) -> None:
    """Other errors are raised unchanged."""
    full = _Full("Failed to allocate memory for requested buffer of size 5", "anything else")
    encoder = CrossEncoder(small_model.graph, CPU_FP32, open_with=lambda graph, engine, lanes: full)
    ones = np.ones((3, 8), np.int64)
    batch = Batch(ones, ones, ones)
    with pytest.raises(OutOfMemory, match="no memory for 3 pairs of 8 tokens"):
        encoder.score(batch)
    with pytest.raises(RuntimeError, match="anything else"):
        encoder.score(batch)
    assert encoder.score(batch).tolist() == [0, 0, 0]


class _FullOnce:
    """A session whose first run is out of memory."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._is_full = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: ort.RunOptions) -> None:
        if self._is_full:
            self._is_full = False
            raise RuntimeError("Failed to allocate memory for requested buffer of size 5")
        self._session.run_with_iobinding(binding, options)


def test_only_the_run_after_an_out_of_memory_shrinks_the_arena(small_model: Bundle) -> None:
    """onnxruntime rejects the option if it does not know the device."""
    shrink = "memory.enable_memory_arena_shrinkage"
    bound = BoundSession(_FullOnce(_session(small_model)), "cpu")
    feed = {name: np.ones((2, 8), np.int64) for name in bound.graph_io.inputs}
    with pytest.raises(RuntimeError, match="Failed to allocate"):
        bound.run(feed, ort.RunOptions())
    second, third = ort.RunOptions(), ort.RunOptions()
    assert len(bound.run(feed, second)) == 2
    assert second.get_run_config_entry(shrink) == "cpu:0"
    assert len(bound.run(feed, third)) == 2
    with pytest.raises(RuntimeError, match=shrink):
        third.get_run_config_entry(shrink)


class _FullBeside:
    """A session whose first run is beside another one, which is out of memory."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.beside: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: ort.RunOptions) -> None:
        if self.beside is not None:
            beside, self.beside = self.beside, None
            beside()
        self._session.run_with_iobinding(binding, options)


def test_a_run_that_began_before_an_out_of_memory_does_not_cancel_the_shrinking(small_model: Bundle) -> None:
    """Two lanes run at once. The run that succeeds has not shrunk the arena."""
    session = _FullBeside(_session(small_model))
    bound = BoundSession(session, "cpu")
    feed = {name: np.ones((2, 8), np.int64) for name in bound.graph_io.inputs}

    def out_of_memory() -> None:
        def fail() -> None:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 5")

        session.beside = fail
        with pytest.raises(RuntimeError, match="Failed to allocate"):
            bound.run(feed, ort.RunOptions())

    session.beside = out_of_memory
    assert len(bound.run(feed, ort.RunOptions())) == 2
    after = ort.RunOptions()
    assert len(bound.run(feed, after)) == 2
    assert after.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"
