"""int8 products: close to fp32, and independent of the other pairs in the batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.runtime import open_session, session_options
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.variants.constant_products import products, quantize_columns
from rerank_service.models.variants.int8 import quantize_rows, quantize_without_overflow
from rerank_service.scheduling.batching import Batch
from support.plain_bert import LAYERS, PLAIN_BERT

_SIDE = 64


def _model(*, opset: int = 18, stored: type[np.floating] = np.float32, side: int = _SIDE) -> onnx.ModelProto:
    """Return a graph that adds two products with the same input, as query and key of a layer have."""
    rng = np.random.default_rng(1)
    wint8_model = [rng.normal(size=(side, side)).astype(np.float16).astype(stored) for _ in range(2)]
    tensors = [numpy_helper.from_array(one, f"stored{number}") for number, one in enumerate(wint8_model)]
    nodes = [helper.make_node("Cast", [f"stored{number}"], [f"w{number}"], to=TensorProto.FLOAT) for number in range(2)]
    nodes += [helper.make_node("MatMul", ["x", f"w{number}"], [f"y{number}"]) for number in range(2)]
    nodes.append(helper.make_node("Add", ["y0", "y1"], ["y"]))
    shape: list[str | int | None] = ["rows", "length", side]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def _run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = open_session(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("opset", [14, 17, 18, 21])
@pytest.mark.parametrize("stored", [np.float32, np.float16])
def test_int8_products_are_close_to_fp32(opset: int, stored: type[np.floating]) -> None:
    """For each opset, and for fp32 and fp16 wint8_model."""
    x = np.random.default_rng(2).normal(size=(3, 5, _SIDE)).astype(np.float32)
    expected = _run(_model(opset=opset, stored=stored), x)
    model = _model(opset=opset, stored=stored)
    assert quantize_rows(model) == 2
    onnx.checker.check_model(_without_contrib(model))
    assert np.abs(_run(model, x) - expected).max() < 0.02 * np.abs(expected).max()


def _without_contrib(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without the operators of onnxruntime, which the checker does not know."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.domain:
            node.op_type, node.domain = "Sum", ""
    return copy


def test_names_that_branches_read_are_kept() -> None:
    """An `If` may read weights and casts of the graph around it."""
    model = _model(stored=np.float16)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w0"], ["chosen"])],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [_SIDE, _SIDE])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["extra"], then_branch=branch, else_branch=branch))
    model.graph.output.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [_SIDE, _SIDE]))
    assert quantize_rows(model) == 2
    onnx.checker.check_model(_without_contrib(model))
    assert "w0" in {name for node in model.graph.node for name in node.output}
    assert "stored0" in {tensor.name for tensor in model.graph.initializer}


def test_old_opset_is_rejected() -> None:
    """Its `QuantizeLinear` has one scale only. The message names the next step."""
    with pytest.raises(ValueError, match="int8 weights need opset 13 or later, and the graph has 12: export it again"):
        quantize_rows(_model(opset=12))


def test_products_in_16_bits_are_not_quantized() -> None:
    """Activations in 16 bits cannot be mixed with scales in 32."""
    model = _model(stored=np.float16)
    for node in model.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.FLOAT16
    assert not products(model)
    assert quantize_rows(model) == 0


def test_shared_activations_are_quantized_once() -> None:
    """The original wint8_model are removed."""
    model = _model()
    quantize_rows(model)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("MatMulIntegerToFloat")) == (1, 2)
    assert not {"MatMul", "Cast"} & set(kinds)
    assert not {"stored0", "stored1"} & {tensor.name for tensor in model.graph.initializer}


def test_product_of_a_product() -> None:
    """Without an operator between them: an embedding in two factors, or an adapter."""
    model = _model()
    model.graph.node[-2].input[0] = "y0"
    exact = _run(model, x := np.random.default_rng(2).normal(size=(3, 5, _SIDE)).astype(np.float32))
    assert quantize_rows(model) == 2
    assert np.abs(_run(model, x) - exact).max() < 0.03 * np.abs(exact).max()


def test_small_products_are_not_quantized() -> None:
    """For example the product of a classifier."""
    model = _model(side=16)
    before = model.SerializeToString()
    assert quantize_rows(model) == 0
    assert model.SerializeToString() == before


def test_products_can_be_left_out() -> None:
    """By the names under which `products` lists them."""
    model = _model()
    assert products(model) == {"y0": (_SIDE, _SIDE), "y1": (_SIDE, _SIDE)}
    assert quantize_rows(model, left_out=["y0"]) == 1
    assert [node.output[0] for node in model.graph.node if node.op_type == "MatMul"] == ["y0"]
    assert "stored0" in {tensor.name for tensor in model.graph.initializer}


def test_external_wint8_model_are_read_from_the_folder(tmp_path: Path) -> None:
    """Only wint8_model to quantize are read, and none stays in the model."""
    x = np.random.default_rng(2).normal(size=(3, 5, _SIDE)).astype(np.float32)
    whole = _model()
    quantize_rows(whole, left_out=["y0"])
    onnx.save_model(_model(), tmp_path / "m.onnx", save_as_external_data=True, location="wint8_model", size_threshold=0)
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    assert quantize_rows(model, tmp_path, ["y0"]) == 1
    outside = [tensor for tensor in model.graph.initializer if tensor.external_data]
    assert [(tensor.name, tensor.HasField("raw_data")) for tensor in outside] == [("stored0", False)]
    onnx.load_external_data_for_model(model, str(tmp_path))
    np.testing.assert_array_equal(_run(model, x), _run(whole, x))


def test_rows_of_zeros_stay_zero() -> None:
    """No scale is zero."""
    model = _model()
    quantize_rows(model)
    assert not _run(model, np.zeros((1, 2, _SIDE), np.float32)).any()


_SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
_MATRICES = arrays.arrays(np.float32, _SIDES, elements=st.floats(-8, 8, width=32))


@given(wint8_model=_MATRICES)
def test_columns_are_rounded_to_half_a_step(wint8_model: NDArray[np.float32]) -> None:
    """Each column has its own scale, and no weight is clipped."""
    for values, scales in (quantize_columns(wint8_model), quantize_without_overflow(wint8_model)):
        assert values.dtype == np.int8
        assert (np.abs(values * scales - wint8_model) <= 0.5001 * scales).all()


@given(wint8_model=_MATRICES)
@example(wint8_model=np.full((2, 1), 190 * np.finfo(np.float32).smallest_subnormal))
def test_two_neighboring_products_fit_into_16_bits(wint8_model: NDArray[np.float32]) -> None:
    """With activations of 0 or 255 each. Processors without VNNI add them there, and cut what does not fit."""
    values = quantize_without_overflow(wint8_model)[0].astype(np.int64)
    paired = values[: len(values) // 2 * 2].reshape(-1, 2, values.shape[1])
    assert np.maximum(paired, 0).sum(axis=1).max(initial=0) * 255 < 2**15
    assert np.minimum(paired, 0).sum(axis=1).min(initial=0) * 255 >= -(2**15)


@pytest.mark.parametrize("sign", [1, -1])
def test_largest_products_do_not_overflow(sign: int) -> None:
    """All activations and all weights have their largest value. On each processor, which must not change scores."""
    model = _model(stored=np.float32)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.full((_SIDE, _SIDE), sign, np.float32), tensor.name))
    assert quantize_rows(model) == 2
    y = _run(model, np.ones((1, 3, _SIDE), np.float32))
    assert np.abs(y - 2 * sign * _SIDE).max() < 0.02 * _SIDE


@pytest.fixture(scope="module")
def int8_model() -> CrossEncoder:
    """A small BERT in int8."""
    model = onnx.load(PLAIN_BERT)
    assert quantize_rows(model) == 6 * LAYERS
    return CrossEncoder(model.SerializeToString())


def test_score_does_not_depend_on_the_batch(int8_model: CrossEncoder) -> None:
    """Scores are equal to the bit. Dynamic quantization with one scale per batch cannot achieve that."""
    ids = np.random.default_rng(3).integers(5, 100, (8, 48))
    batch = Batch(ids, np.ones_like(ids), np.zeros_like(ids))
    together = int8_model.score(batch)
    alone = [int8_model.score(Batch(ids[[row]], np.ones_like(ids[:1]), np.zeros_like(ids[:1]))) for row in range(8)]
    assert together.tolist() == np.concatenate(alone).tolist()
