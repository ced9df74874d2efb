"""The memory that an engine takes, and the check against the limit."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.memory_estimate import estimated_bytes, memory_need, memory_shortage, weight_bytes
from support.small import write_small_model

INT8 = Engine(Provider.CPU, Precision.INT8)
OPENVINO = Engine(Provider.OPENVINO, Precision.FP32)
OPENVINO_BF16 = Engine(Provider.OPENVINO, Precision.BF16)
OPENVINO_INT8 = Engine(Provider.OPENVINO, Precision.INT8)
CUDA_FP16 = Engine(Provider.CUDA, Precision.FP16)
CUDA_FP32 = Engine(Provider.CUDA, Precision.FP32)
MIB = 2**20
DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.parametrize(
    ("weights", "stored_mib", "engine", "measured_mib"),
    [
        ("fp16", 51, CPU_FP32, 149),
        ("fp16", 51, OPENVINO, 228),
        ("fp16", 51, OPENVINO_BF16, 188),
        ("fp16", 51, INT8, 134),
        ("fp16", 51, OPENVINO_INT8, 133),
        ("fp32", 416, CPU_FP32, 402),
        ("fp32", 416, OPENVINO, 541),
        ("fp32", 416, OPENVINO_BF16, 394),
        ("fp32", 416, INT8, 771),
        ("fp32", 416, OPENVINO_INT8, 832),
        ("fp16", 209, CUDA_FP16, 1163),
        ("fp32", 417, CUDA_FP16, 948),
    ],
)
def test_estimate_is_an_upper_bound_of_what_was_measured(
    small_model: Bundle, weights: Literal["fp16", "fp32"], stored_mib: int, engine: Engine, measured_mib: int
) -> None:
    """Two lanes, at most twice the need. Measured: the starter and a BERT-base; in int8 and fp16, the derivation."""
    estimate = estimated_bytes(_stored(small_model, weights), engine, 2, stored_mib * MIB) / MIB
    assert measured_mib <= estimate <= 2.1 * measured_mib


@pytest.mark.parametrize(("page", "text"), [("gpu.md", "memory for {}"), ("operations.md", "fp16 takes {}")])
def test_pages_give_the_factors_of_the_estimate(small_model: Bundle, page: str, text: str) -> None:
    """Bytes while a graph in fp16 is derived, for a byte of the stored weights."""
    weights = 4000 * MIB
    stored: tuple[Literal["fp32", "fp16"], ...] = ("fp32", "fp16")
    factors = [
        (estimated_bytes(_stored(small_model, each), CUDA_FP16, 1, weights) - 96 * MIB) / weights for each in stored
    ]
    sentence = (DOCS / page).read_text().partition(text.format(f"{factors[0]:g} times"))[2]
    assert f"({factors[1]:g} times" in sentence[:40]


def test_exported_int8_graph_needs_no_memory_for_a_derivation(small_model: Bundle, tmp_path: Path) -> None:
    """Half a byte for each byte of weights in fp32."""
    exported = write_small_model(tmp_path, broken_int8=True)
    derived, loaded = (estimated_bytes(bundle, INT8, 1, 400 * MIB) for bundle in (small_model, exported))
    assert derived - loaded == (2 - 0.5) * 400 * MIB


@pytest.mark.parametrize(
    ("engine", "stored", "kept", "peak"),
    [
        (CPU_FP32, "fp32", 1, 1),
        (CPU_FP32, "fp16", 2, 2),
        (INT8, "fp32", 0.5, 2),
        (CUDA_FP16, "fp32", 0.5, 2.5),
        (CUDA_FP16, "fp16", 1, 5.75),
        (replace(CUDA_FP16, cuda_graphs=True), "fp16", 1, 5.75),
        (CUDA_FP32, "fp16", 2, 4),
    ],
    ids=str,
)
def test_memory_of_a_derivation_is_not_kept(
    small_model: Bundle, engine: Engine, stored: Literal["fp16", "fp32"], kept: float, peak: float
) -> None:
    """Bytes for a byte of the stored weights. CUDA holds them in memory of the device."""
    need = memory_need(_stored(small_model, stored), engine, 1, 400 * MIB)
    assert (need.kept / MIB - 96, need.peak / MIB - 96) == (kept * 400, peak * 400)


@pytest.mark.parametrize("engine", [CPU_FP32, OPENVINO, OPENVINO_INT8], ids=str)
def test_lanes_share_the_weights(small_model: Bundle, engine: Engine) -> None:
    """Another lane takes memory for its batches only, whatever the size of the model is."""
    one, two, many = (estimated_bytes(small_model, engine, lanes, 400 * MIB) for lanes in (1, 2, 9))
    assert two - one == 32 * MIB
    assert many - one == 8 * (two - one)


def _stored(bundle: Bundle, weights: Literal["fp16", "fp32"]) -> Bundle:
    """Return a bundle whose manifest gives another precision of the stored weights."""
    reference = bundle.manifest.variants[0].model_copy(update={"weights": weights})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"variants": (reference,)}))


def _large_bundle(folder: Path, small_model: Bundle) -> Any:
    """Return the facts of a bundle that the estimate reads. Its graph has 600 MB."""
    large = folder / "model.onnx"
    with large.open("wb") as file:
        file.truncate(600 * 10**6)
    return type("", (), {"graph": large, "variant": lambda *_: None, "manifest": small_model.manifest})


def test_large_graph_is_not_read_for_the_estimate(tmp_path: Path, small_model: Bundle) -> None:
    """It may be as large as the memory that is left."""
    bundle = _large_bundle(tmp_path, small_model)
    assert weight_bytes(bundle) == 600 * 10**6
    left = 2 * 2**30 - 1_400 * 10**6  # a pod of 2 GiB, in which the model is served
    for engine, needs in ((INT8, "1,334"), (OPENVINO, "2,084")):
        shortage = memory_shortage(bundle, engine, 2, lambda: left)
        assert shortage is not None
        assert shortage.reason == f"needs about {needs} MB, and the memory limit leaves 747 MB"
    assert memory_shortage(small_model, INT8, 2, lambda: left) is None
    assert memory_shortage(bundle, INT8, 2, lambda: None) is None


@pytest.mark.parametrize(("beside", "lasting"), [(None, False), (CPU_FP32, True)])
def test_engine_that_never_fits_beside_the_served_one_lacks_memory_for_good(
    tmp_path: Path, small_model: Bundle, beside: Engine | None, lasting: bool
) -> None:
    """OpenVINO alone would fit into the 2 GiB, but the model that is served stays loaded."""
    bundle = _large_bundle(tmp_path, small_model)
    shortage = memory_shortage(bundle, OPENVINO, 2, lambda: 747 * 10**6, beside, lambda: 2 * 2**30)
    assert shortage is not None
    assert shortage.lasting is lasting


@pytest.mark.parametrize(
    ("limit", "lasting"), [(None, False), (10**9, False), (99 * 10**6, True), (110 * 10**6, False)]
)
def test_only_an_engine_beyond_the_whole_limit_never_has_enough_memory(
    small_model: Bundle, limit: int | None, lasting: bool
) -> None:
    """About 100 MB are needed with one lane, which settings may ask for; other processes may leave more later."""
    shortage = memory_shortage(small_model, CPU_FP32, 9, lambda: 0, whole_limit=lambda: limit)
    assert shortage is not None
    assert shortage.lasting is lasting
