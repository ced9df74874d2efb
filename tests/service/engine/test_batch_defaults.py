"""Default batch limits of each kind of engine."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_service.engine.available import ENGINES
from rerank_service.engine.batch_defaults import CPU_LIMITS, default_lanes, default_limits, exact_multiple
from rerank_service.engine.io_binding import MAX_GRAPH_TOKENS, MAX_GRAPHS
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider

_GPU = Engine(Provider.CUDA, Precision.FP16)
_OPENVINO_BF16 = Engine(Provider.OPENVINO, Precision.BF16)
_GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)


def test_gpu_has_larger_batches_than_cpu() -> None:
    """CUDA graphs round lengths to multiples of 32 tokens, and each batch fits into a recording."""
    assert default_limits(CPU_FP32) == CPU_LIMITS
    assert default_limits(_GPU).max_tokens > CPU_LIMITS.max_tokens
    assert default_limits(_GPU).length_multiple == 8
    assert default_limits(_GRAPHS).length_multiple == 32
    assert default_limits(_GRAPHS).max_tokens == MAX_GRAPH_TOKENS


def test_shared_prefixes_allow_larger_batches_on_a_cpu() -> None:
    """The common beginning of more rows is computed once. A GPU has large batches anyway."""
    shared = default_limits(CPU_FP32, shares_prefixes=True)
    assert shared == replace(CPU_LIMITS, max_tokens=2 * CPU_LIMITS.max_tokens)
    assert default_limits(_OPENVINO_BF16, shares_prefixes=True) == default_limits(_OPENVINO_BF16)
    assert default_limits(_GPU, shares_prefixes=True) == default_limits(_GPU)


def test_openvino_in_bf16_has_batches_twice_as_large() -> None:
    """docs/decisions/0084: one batch takes as long as half of it in fp32. Small batches pay most for a new shape."""
    limits = default_limits(_OPENVINO_BF16)
    assert (limits.max_tokens, limits.min_tokens) == (2 * CPU_LIMITS.max_tokens, 2 * CPU_LIMITS.min_tokens)
    for precision in (Precision.FP32, Precision.INT8):
        limits = default_limits(Engine(Provider.OPENVINO, precision))
        assert (limits.max_tokens, limits.min_tokens) == (CPU_LIMITS.max_tokens, CPU_LIMITS.min_tokens)


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_each_engine_has_defaults(engine: Engine) -> None:
    """A new provider does not get those of the CPU by accident."""
    assert default_limits(engine).max_tokens >= CPU_LIMITS.max_tokens
    assert default_lanes(engine) >= 1


@pytest.mark.parametrize(("requested", "rounded"), [(1, 16), (4, 16), (16, 16), (17, 32), (32, 32)])
def test_openvino_in_int8_and_bf16_pads_to_multiples_of_16(requested: int, rounded: int) -> None:
    """Only so is the score of a pair equal to the bit with any padding. Other engines keep the requested number."""
    exact = [Engine(Provider.OPENVINO, precision) for precision in (Precision.INT8, Precision.BF16)]
    for engine in ENGINES:
        assert exact_multiple(engine, requested) == (rounded if engine in exact else requested)
    assert [default_limits(engine).length_multiple for engine in exact] == [16, 16]


def test_the_page_has_the_defaults() -> None:
    """docs/gpu.md: columns of the CPU, of the GPU, and of the GPU with CUDA graphs."""
    page = (Path(__file__).parents[3] / "docs" / "gpu.md").read_text(encoding="utf-8")
    exact = default_limits(_OPENVINO_BF16)
    assert default_limits(CPU_FP32, shares_prefixes=True).max_tokens == exact.max_tokens  # one number for both
    for row, (field, exception) in {
        "maximum size of a batch, padded tokens": ("max_tokens", exact),
        "the same when few tokens wait, or beside small requests": ("min_tokens", exact),
        "maximum rows of a batch": ("max_pairs", None),
        "shortest row, as a share of the longest": ("min_length_ratio", None),
        "row lengths are multiples of": ("length_multiple", exact),
    }.items():
        (cells,) = re.findall(rf"^\| {row} \|(.*)\|$", page, re.MULTILINE)
        cpu, *gpu = cells.replace(",", "").split("|")
        expected = [getattr(limits, field) for limits in (CPU_LIMITS, exception) if limits]
        assert [float(number) for number in re.findall(r"(?:^|;) (\d+(?:\.\d+)?)", cpu)] == expected
        assert [float(cell) for cell in gpu] == [getattr(default_limits(engine), field) for engine in (_GPU, _GRAPHS)]


def test_all_shapes_up_to_512_tokens_fit_into_max_graphs() -> None:
    """Lengths are the multiples that the batch limits allow."""
    step = default_limits(_GRAPHS).length_multiple
    shapes = [
        (1 << power, length)
        for length in range(step, 512 + 1, step)
        for power in range(10)
        if length << power <= MAX_GRAPH_TOKENS
    ]
    assert len(shapes) <= MAX_GRAPHS
