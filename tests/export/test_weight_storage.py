"""Weights are stored in 16 bits if that loses nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_export.bundle import bundle_builder
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.graph.weight_storage import halve_weights
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.compressed import compress_weights
from rerank_service.models.variants.external_weights import load_with_weights
from rerank_service.models.variants.fp16 import rewrite_fp16, rewrite_fp16_packed
from rerank_service.models.variants.int8 import quantize_rows
from rerank_service.scheduling.batching import Batch

LARGE = 512
"""Size of a tensor that is large enough to be stored as fp16."""


@pytest.fixture(scope="module", params=["float16", "bfloat16"])
def half_source(
    request: pytest.FixtureRequest, sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a model published in 16 bits."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("half") / request.param
    dtype = getattr(torch, request.param)
    model = AutoModelForSequenceClassification.from_pretrained(sources("bert"), dtype=dtype)
    for weight in model.parameters():
        weight.data.flatten()[0] = 2.0**-30  # bf16 holds it, fp16 rounds it to 0
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(sources("bert")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def half_and_full(half_source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """The bundles of that model with weights in 16 bits, and with the same weights in fp32."""
    folder = tmp_path_factory.mktemp("bundles")
    half = export(ExportRequest(str(half_source), folder / "half")).bundle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle_builder, "halve_weights", lambda graph: "fp32")
        return half, export(ExportRequest(str(half_source), folder / "full")).bundle


def _logits(graph: Path) -> NDArray[np.float32]:
    ids = np.random.default_rng(20).integers(0, 200, (4, 64))
    return CrossEncoder(graph).score(Batch(ids, np.ones_like(ids), np.zeros_like(ids)))


def _stored_types(bundle: Bundle) -> set[int]:
    graph = onnx.load(bundle.graph, load_external_data=False).graph
    return {tensor.data_type for tensor in graph.initializer if tensor.external_data}


def test_weights_in_16_bits_are_stored_so_and_computed_in_fp32(half_and_full: tuple[Bundle, Bundle]) -> None:
    """They take half the size, and the logits are bit for bit those of the same weights stored as fp32."""
    half, full = half_and_full
    kind = {"float16": "fp16", "bfloat16": "bf16"}[half.manifest.source]
    assert (half.manifest.variants[0].precision, half.manifest.variants[0].weights) == ("fp32", kind)
    if kind == "fp16":
        assert _stored_types(half) == {TensorProto.FLOAT16}
    else:
        assert TensorProto.BFLOAT16 in _stored_types(half) <= {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    size = (half.folder / "model.onnx.data").stat().st_size / (full.folder / "model.onnx.data").stat().st_size
    assert size == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(_logits(half.graph), _logits(full.graph))


def test_embeddings_are_looked_up_in_16_bits(half_and_full: tuple[Bundle, Bundle]) -> None:
    """The table is never widened as a whole: only rows that were looked up are cast."""
    graph = onnx.load(half_and_full[0].graph, load_external_data=False).graph
    tables = {tensor.name for tensor in graph.initializer if tensor.data_type != TensorProto.FLOAT} & {
        node.input[0] for node in graph.node if node.op_type == "Gather"
    }
    assert len(tables) >= 1
    assert not tables & {node.input[0] for node in graph.node if node.op_type == "Cast"}


@pytest.mark.parametrize("rewrite", [quantize_rows, compress_weights], ids=["rows", "compressed"])
def test_int8_variants_do_not_depend_on_the_storage(
    rewrite: Callable[[onnx.ModelProto], int], half_and_full: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    """They have as many products in int8, and logits that are equal to the bit."""
    graphs, counts = [], []
    for bundle in half_and_full:
        model = load_with_weights(bundle.graph)
        counts.append(rewrite(model))
        graphs.append(tmp_path / f"{bundle.folder.name}.onnx")
        onnx.save(model, graphs[-1])
    assert counts[0] == counts[1]
    half, full = map(_logits, graphs)
    np.testing.assert_array_equal(half, full)


@pytest.mark.parametrize("rewrite", [rewrite_fp16, rewrite_fp16_packed], ids=["padded", "packed"])
def test_fp16_variants_do_not_depend_on_the_storage(
    rewrite: Callable[[onnx.ModelProto], int], half_and_full: tuple[Bundle, Bundle]
) -> None:
    """They have the same operators and the same weights."""
    half, full = (load_with_weights(bundle.graph) for bundle in half_and_full)
    for model in (half, full):
        rewrite(model)
    assert [node.op_type for node in half.graph.node] == [node.op_type for node in full.graph.node]
    weights = [
        sorted((tensor.data_type, numpy_helper.to_array(tensor).tobytes()) for tensor in model.graph.initializer)
        for model in (half, full)
    ]
    assert weights[0] == weights[1]


def test_fp32_model_is_stored_unchanged(bundles: Callable[[str], Bundle]) -> None:
    """Weights that fp16 cannot represent stay fp32."""
    bundle = bundles("bert")
    assert bundle.manifest.variants[0].weights == "fp32"
    assert TensorProto.FLOAT in _stored_types(bundle)


def _graph(**weights: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a graph that adds its input and all weights."""
    tensors = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    shape = [next(iter(weights.values())).size]
    put, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("put", "out"))
    graph = helper.make_graph([helper.make_node("Sum", ["put", *weights], ["out"])], "sum", [put], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _types(model: onnx.ModelProto) -> list[int]:
    return [tensor.data_type for tensor in model.graph.initializer]


@pytest.mark.parametrize("odd", [0.1, 1e5, 1e-9, np.nan, np.inf], ids=str)
def test_each_tensor_is_stored_by_its_own_numbers(odd: float) -> None:
    """One number that fp16 cannot represent keeps only its tensor in fp32. The sum stays exact."""
    plain = np.arange(LARGE, dtype=np.float32)
    other = np.full(LARGE, odd, np.float32)
    model = _graph(plain=plain, other=other)
    exact = bool(np.isinf(odd))
    assert halve_weights(model) == ("fp16" if exact else "fp32")
    assert _types(model) == [TensorProto.FLOAT16, TensorProto.FLOAT16 if exact else TensorProto.FLOAT]
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (total,) = session.run(None, {"put": np.ones(LARGE, np.float32)})
    np.testing.assert_array_equal(total, np.float32(1) + plain + other)


def test_small_tensors_stay_in_the_graph() -> None:
    """A cast would cost more than it saves. They do not make the model count as fp32."""
    model = _graph(small=np.full(8, 0.1, np.float32))
    assert halve_weights(model) == "fp16"
    assert _types(model) == [TensorProto.FLOAT]


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([1.0, 1e-3, 1e30], "fp32"),
        ([1.0, 2.0**-126, 2.0**100], "bf16"),
        ([1.0, 2.0**-24, 65_504.0], "fp16"),
        ([1.0, 2.0**-10, np.nan], "fp32"),
    ],
    ids=["neither", "range of bf16", "digits of fp16", "nan"],
)
def test_type_is_chosen_by_range_and_digits(values: list[float], stored: str) -> None:
    """fp16 has more digits, and bf16 the range of fp32."""
    weights = np.resize(np.array(values, np.float32), LARGE)
    model = _graph(weights=weights)
    assert halve_weights(model) == stored
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (total,) = session.run(None, {"put": np.zeros(LARGE, np.float32)})
    np.testing.assert_array_equal(total, weights)


def test_rest_of_bf16_weights_is_rounded_to_fp16() -> None:
    """Only tensors that neither type holds are rounded."""
    model = _graph(exact=np.full(LARGE, 2.0**-100, np.float32), other=np.full(LARGE, 0.1, np.float32))
    assert halve_weights(model) == "fp32"
    assert halve_weights(model, rounded=True) == "bf16"
    assert _types(model) == [TensorProto.BFLOAT16, TensorProto.FLOAT16]


def test_table_with_other_readers_is_widened() -> None:
    """Its lookup then finds fp32."""
    table = np.full((LARGE, 4), 0.5, np.float32)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4])
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceMax", ["table"], ["most"], keepdims=0),
        helper.make_node("Add", ["rows", "most"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "table", [ids], [out], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    assert halve_weights(model) == "fp16"
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"ids": np.arange(3)})[0], np.ones((3, 4)))
