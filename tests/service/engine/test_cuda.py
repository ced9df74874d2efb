"""The CUDA provider, as far as a machine without a GPU can tell: bindings run on the CPU, whose name is a parameter."""

import ctypes
from typing import Any

import numpy as np
import pytest

from rerank_service.engine import cuda, nvidia_driver
from rerank_service.engine.batch_defaults import CPU_LIMITS, default_limits
from rerank_service.engine.graph_io import Ports
from rerank_service.engine.io_binding import GRAPH_TOKENS, MOST_GRAPHS, Bound, Replayed, filled_up, recorded_shape
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Feed, open_session, ort, session_options
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch

_GPU = Engine(Provider.CUDA, Precision.FP16)
_GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)


def _session(bundle: Bundle) -> Any:
    return open_session(bundle.graph, session_options(), providers=["CPUExecutionProvider"])


def _feed(rows: int, length: int) -> Feed:
    ids = np.random.default_rng(rows * 1000 + length).integers(1000, 20000, (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("runner", [Bound, Replayed])
def test_what_is_bound_scores_as_what_is_given(starter: Bundle, runner: type[Bound] | type[Replayed]) -> None:
    """Several shapes, one of them twice, rows that are no power of two."""
    session = _session(starter)
    bound = runner(session, "cpu")
    assert list(bound.ports.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    for rows, length in ((3, 8), (5, 16), (4, 8), (1, 40)):
        feed = _feed(rows, length)
        logits = bound.run(feed, ort.RunOptions())
        assert logits.shape == (rows, 1)
        np.testing.assert_allclose(logits, session.run(None, feed)[0], rtol=0, atol=1e-5)


def test_shapes_that_are_recorded_are_few(small_model: Bundle) -> None:
    """Each has its places once; what is too large, or comes when there are enough, runs without."""
    replayed = Replayed(_session(small_model), "cpu")
    feed = {name: np.ones((5, 8), np.int64) for name in replayed.ports.inputs}
    for rows in (5, 7, 8, 3):
        replayed.run({name: filled_up(array[:1], rows) for name, array in feed.items()}, ort.RunOptions())
    assert replayed.recorded() == [(8, 8), (4, 8)]
    large = {name: np.ones((GRAPH_TOKENS // 8 + 1, 8), np.int64) for name in replayed.ports.inputs}
    assert len(replayed.run(large, ort.RunOptions())) == GRAPH_TOKENS // 8 + 1
    assert len(replayed.recorded()) == 2
    for length in range(1, 2 * MOST_GRAPHS):
        replayed.run({name: np.ones((1, length), np.int64) for name in replayed.ports.inputs}, ort.RunOptions())
    assert len(replayed.recorded()) == MOST_GRAPHS


def test_rows_are_filled_up_with_the_last() -> None:
    """A row of padding alone would have no token to attend to."""
    assert filled_up(np.array([[1, 2], [3, 4], [5, 0]]), 4).tolist() == [[1, 2], [3, 4], [5, 0], [5, 0]]
    assert [recorded_shape(rows, 9)[0] for rows in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]


def test_all_shapes_of_a_window_of_512_can_be_recorded() -> None:
    """The lengths are those that the limits leave."""
    step = default_limits(_GRAPHS).length_multiple
    shapes = [
        (1 << power, length)
        for length in range(step, 512 + 1, step)
        for power in range(10)
        if length << power <= GRAPH_TOKENS
    ]
    assert len(shapes) <= MOST_GRAPHS


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
def test_wants_of_memory_are_told_from_other_failures(message: str, expected: bool) -> None:
    """By onnxruntime's words."""
    assert is_out_of_memory(RuntimeError(message)) is expected


class _Full:
    """A runner that has no memory, then some."""

    ports = Ports({"input_ids": np.int64}, "logits")

    def __init__(self, *errors: str) -> None:
        self._errors = list(errors)

    def run(self, feed: Feed, options: ort.RunOptions) -> Any:
        if self._errors:
            raise RuntimeError(self._errors.pop(0))
        return np.zeros((len(feed["input_ids"]), 1), np.float32)


def test_a_run_without_memory_has_its_own_error(small_model: Bundle) -> None:
    """Anything else is passed on as it is."""
    full = _Full("Failed to allocate memory for requested buffer of size 5", "anything else")
    encoder = CrossEncoder(small_model.graph, CPU_FP32, open_with=lambda graph, engine, lanes: full)
    ones = np.ones((3, 8), np.int64)
    batch = Batch(ones, ones, ones)
    with pytest.raises(OutOfMemory, match="no memory for 3 rows of 8 tokens"):
        encoder.score(batch)
    with pytest.raises(RuntimeError, match="anything else"):
        encoder.score(batch)
    assert encoder.score(batch).tolist() == [0, 0, 0]


class _FullOnce:
    """A session whose first run finds no memory."""

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


def test_only_the_run_after_one_without_memory_gives_memory_back(small_model: Bundle) -> None:
    """The arena holds it in pieces of other sizes; onnxruntime refuses the option if it does not know the device."""
    shrink = "memory.enable_memory_arena_shrinkage"
    bound = Bound(_FullOnce(_session(small_model)), "cpu")
    feed = {name: np.ones((2, 8), np.int64) for name in bound.ports.inputs}
    with pytest.raises(RuntimeError, match="Failed to allocate"):
        bound.run(feed, ort.RunOptions())
    second, third = ort.RunOptions(), ort.RunOptions()
    assert len(bound.run(feed, second)) == 2
    assert second.get_run_config_entry(shrink) == "cpu:0"
    assert len(bound.run(feed, third)) == 2
    with pytest.raises(RuntimeError, match=shrink):
        third.get_run_config_entry(shrink)


def test_a_gpu_gets_larger_batches() -> None:
    """And CUDA graphs few lengths; a CPU's limits are the defaults."""
    assert default_limits(CPU_FP32) == CPU_LIMITS
    assert default_limits(_GPU).max_tokens > CPU_LIMITS.max_tokens
    assert default_limits(_GPU).length_multiple == 8
    assert default_limits(_GRAPHS).length_multiple == 32


def test_fp32_is_fp32() -> None:
    """TF32 has the range of fp32 and the precision of fp16."""
    for engine in (_GPU, _GRAPHS):
        assert cuda.provider_options(engine)["use_tf32"] == "0"
    assert cuda.provider_options(_GPU)["enable_cuda_graph"] == "0"
    assert cuda.provider_options(_GRAPHS)["enable_cuda_graph"] == "1"


def test_without_cuda_it_says_what_brings_it() -> None:
    """Before a model is loaded."""
    assert cuda.missing(Precision.INT8) == "the CUDA provider is not used with int8"
    assert "the extra gpu" in (cuda.missing(Precision.FP16) or "")
    assert cuda.gpus() == ()


class _Driver:
    """What the driver's library answers."""

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
        (None, "no NVIDIA driver here"),
        (_Driver(init=100), "finds no GPU"),
        (_Driver(init=803), "cuInit gives 803"),
        (_Driver(version=12_040), "has CUDA 12.4, and this onnxruntime is built for 13.0: update it"),
    ],
)
def test_each_fault_of_a_driver_has_its_line(driver: _Driver | None, why: str) -> None:
    """Which says what to do."""
    assert why in (nvidia_driver.fault(driver, "13.0") or "")


def test_a_driver_that_is_new_enough_is_no_fault() -> None:
    """Any of a major version runs any build of it, and newer ones run older builds."""
    for version in (13_000, 13_010, 14_020):
        assert nvidia_driver.fault(_Driver(version=version), "13.1") is None
    assert nvidia_driver.fault(_Driver(), "") is None


def test_gpus_are_named() -> None:
    """What was measured on one is not believed on another."""
    assert nvidia_driver.gpus(_Driver(names=("Tesla T4", "NVIDIA L4"))) == ("Tesla T4", "NVIDIA L4")
    assert nvidia_driver.gpus(_Driver(init=100)) == nvidia_driver.gpus(None) == ()
