"""Weights compressed to int8: the graph, and its values on the CPU provider, on every processor."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.runtime import open_session, ort, session_options
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.compressed import compress_weights
from rerank_service.models.variants.constant_products import quantize_columns
from rerank_service.models.variants.derive import graph_for
from rerank_service.models.variants.external_weights import load_with_weights
from support.small import write_small_model

OPENVINO_INT8 = Engine(Provider.OPENVINO, Precision.INT8)
_IN, _OUT = 160, 64


def _weights(shape: tuple[int, ...] = (_IN, _OUT)) -> NDArray[np.float32]:
    values = np.random.default_rng(1).normal(size=shape)
    return values.astype(np.float16).astype(np.float32)  # so that storing them in fp16 changes nothing


def _model(
    nodes: list[NodeProto], stored: dict[str, NDArray[np.floating]], *, opset: int = 18, width: int = _IN
) -> onnx.ModelProto:
    """Return a graph from x, of shape (rows, `width`), to y."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def _run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evaluate each node by itself: onnxruntime would fuse the two, and may quantize the activations as well."""
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = open_session(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


def _x(width: int = _IN) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(5, width)).astype(np.float32)


def _restored(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    values, scales = quantize_columns(weights)
    return values * scales


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("stored", [np.float32, np.float16])
def test_product_has_the_weights_rounded_by_column(opset: int, stored: type[np.floating]) -> None:
    """For fp32 and fp16 weights. Activations stay in fp32: only OpenVINO quantizes them."""
    cast = helper.make_node("Cast", ["stored"], ["w"], to=TensorProto.FLOAT)
    model = _model(
        [cast, helper.make_node("MatMul", ["x", "w"], ["y"])], {"stored": _weights().astype(stored)}, opset=opset
    )
    assert compress_weights(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "MatMul"]
    np.testing.assert_allclose(_run(model, _x()), _x() @ _restored(_weights()), rtol=0, atol=1e-4)
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.INT8, TensorProto.FLOAT}
    assert sum(len(tensor.raw_data) for tensor in model.graph.initializer) == _IN * _OUT + 4 * _OUT


@pytest.mark.parametrize("transposed", [0, 1])
def test_weights_of_gemm_are_compressed(transposed: int) -> None:
    """Each output has a scale, whichever way the matrix is stored. The bias and the factors stay."""
    bias = np.arange(_OUT, dtype=np.float32)
    gemm = helper.make_node("Gemm", ["x", "w", "bias"], ["y"], transB=transposed, alpha=2.0, beta=0.5)
    stored = np.ascontiguousarray(_weights().T) if transposed else _weights()
    model = _model([gemm], {"w": stored, "bias": bias})
    assert compress_weights(model) == 1
    onnx.checker.check_model(model, full_check=True)
    expected = 2 * _x() @ _restored(_weights()) + 0.5 * bias
    np.testing.assert_allclose(_run(model, _x()), expected, rtol=0, atol=1e-4)


def test_shared_matrix_is_stored_once() -> None:
    """ALBERT uses the same matrices in all layers."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["between"]), helper.make_node("MatMul", ["between", "w"], ["y"])]
    model = _model(nodes, {"w": _weights((_IN, _IN))})
    assert compress_weights(model) == 2
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "MatMul", "MatMul"]
    restored = _restored(_weights((_IN, _IN)))
    np.testing.assert_allclose(_run(model, _x()), _x() @ restored @ restored, rtol=1e-5, atol=1e-3)


def test_matrix_that_is_also_a_table_stays_in_fp32_there() -> None:
    """Embeddings may be the matrix of a product as well."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Gather", ["w", "row"], ["embedding"]),
        helper.make_node("Add", ["product", "embedding"], ["y"]),
    ]
    model = _model(nodes, {"w": _weights(), "row": np.array(3)})
    assert compress_weights(model) == 1
    expected = _x() @ _restored(_weights()) + _weights()[3]
    np.testing.assert_allclose(_run(model, _x()), expected, rtol=0, atol=1e-4)


def test_small_matrices_and_those_left_out_stay() -> None:
    """A classifier's matrix is small, and one with fewer than 128 inputs gains nothing.

    `left_out` has names of nodes, or of their outputs."""
    small = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": _weights((_IN, 1))})
    whole = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": _weights()})
    narrow = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": _weights((96, _OUT))}, width=96)
    for model, left_out in ((small, ()), (narrow, ()), (whole, ("y",))):
        before = model.SerializeToString()
        assert compress_weights(model, left_out) == 0
        assert model.SerializeToString() == before


def test_old_opset_is_an_error(tmp_path: Path) -> None:
    """Before opset 13, an operator has one scale for a whole matrix. The message says so."""
    bundle = write_small_model(tmp_path / "old")
    graph = onnx.load(bundle.graph)
    graph.opset_import[0].version = 12
    onnx.save(graph, bundle.graph)
    with pytest.raises(BundleInvalid, match="int8 weights need opset 13 or later, and the graph has 12: export it"):
        graph_for(bundle, OPENVINO_INT8, Cache(tmp_path / "cache"))


def test_graph_without_products_is_an_error(small_model: Bundle, tmp_path: Path) -> None:
    """The engine is skipped then, with this reason."""
    with pytest.raises(BundleInvalid, match="has no product with constant weights"):
        graph_for(small_model, OPENVINO_INT8, Cache(tmp_path))


def test_exported_int8_graph_is_not_used(tmp_path: Path) -> None:
    """It is for the CPU provider: OpenVINO gets a graph that is derived from the reference graph."""
    write_small_model(tmp_path / "bundle", broken_int8=True)
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.variant(Engine(Provider.CPU, Precision.INT8)) is not None
    assert bundle.variant(OPENVINO_INT8) is None


def test_starter_keeps_its_embeddings(starter: Bundle, tmp_path: Path) -> None:
    """Its 51 products and its pooler have weights in 8 bits, and the derived graph is cached."""
    graph = graph_for(starter, OPENVINO_INT8, Cache(tmp_path))
    assert graph == graph_for(starter, OPENVINO_INT8, Cache(tmp_path))
    assert isinstance(graph, Path)
    model, reference = load_with_weights(graph), load_with_weights(starter.graph)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DequantizeLinear") == 52
    gathered = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    kept = {tensor.name: tensor.raw_data for tensor in reference.graph.initializer if tensor.name in gathered}
    assert kept == {tensor.name: tensor.raw_data for tensor in model.graph.initializer if tensor.name in kept}
