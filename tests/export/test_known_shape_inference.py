"""Passes work on graphs whose shapes are not all known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_export.graph.passes.first_token import shorten_last_layer
from rerank_export.graph.passes.fold_sizes import fold_sizes
from rerank_export.graph.passes.shaped_graph import infer_shapes

WIDTH = 4
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def _model(nodes: Sequence[onnx.NodeProto], *weights: onnx.TensorProto) -> onnx.ModelProto:
    """Return a graph from x of shape (rows, tokens, WIDTH) to y, whose shape is not declared."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "tokens", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _constant(name: str, *values: int) -> onnx.NodeProto:
    """Return a node, as torch writes constants, and not an initializer."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, np.int64)))


def _run(model: onnx.ModelProto) -> NDArray[np.float32]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    x = np.random.default_rng(0).uniform(0.5, 1.0, (2, 3, WIDTH)).astype(np.float32)
    result: NDArray[np.float32] = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]
    return result


def _unknown(source: str, copy: str) -> list[onnx.NodeProto]:
    """Return nodes that copy a tensor. How many axes the copy has is only known when they run."""
    return [
        helper.make_node("Shape", [source], [f"{copy}.size"]),
        _constant(f"{copy}.zero", 0),
        helper.make_node("Greater", [f"{copy}.size", f"{copy}.zero"], [f"{copy}.used"]),
        helper.make_node("Compress", [f"{copy}.size", f"{copy}.used"], [f"{copy}.same"], axis=0),
        helper.make_node("Reshape", [source, f"{copy}.same"], [copy]),
    ]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_with_axes_as_input(name: str, keepdims: int) -> None:
    """Since opset 18 the axes are an input of each of them, and torch writes them as Constant nodes."""
    nodes = [
        _constant("axes", -1),
        helper.make_node(f"Reduce{name}", ["x", "axes"], ["reduced"], keepdims=keepdims),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Gather", ["size", "last"], ["width"]),
        helper.make_node("Cast", ["width"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["reduced", "wide"], ["y"]),
    ]
    model = _model(nodes, numpy_helper.from_array(np.array([2]), "last"))
    shape = infer_shapes(model).shapes["reduced"]
    assert [str(size) for size in shape] == ["rows", "tokens", "1"][: 2 + keepdims]
    folded, removed = fold_sizes(model)
    assert removed == 2  # Shape and Gather, since the width is known
    np.testing.assert_array_equal(_run(folded), _run(model))


READERS = {
    "Add": ["copy", "x"],
    "Concat": ["copy", "x"],
    "Equal": ["copy", "x"],
    "Expand": ["copy", "size"],
    "Gather": ["copy", "zero"],
    "LayerNormalization": ["copy", "scale"],
    "MatMul": ["copy", "w"],
    "Pad": ["copy", "pads"],
    "ReduceMax": ["copy", "zero"],
    "ReduceSum": ["copy", "zero"],
    "Reshape": ["copy", "flat"],
    "Shape": ["copy"],
    "Slice": ["copy", "zero", "one", "zero"],
    "Softmax": ["copy"],
    "Squeeze": ["row", "zero"],
    "Transpose": ["copy"],
    "Unsqueeze": ["copy", "zero"],
    "Where": ["same_bits", "copy", "x"],
}
"""Operators with the tensors that they read."""


@pytest.mark.parametrize("name", READERS)
def test_reader_of_an_unknown_shape_stays(name: str) -> None:
    """The graph is folded elsewhere, and keeps each operator and its results."""
    attributes: dict[str, dict[str, Any]] = {
        "Concat": {"axis": 0},
        "LayerNormalization": {"axis": -1},
        "Transpose": {"perm": [2, 1, 0]},
    }
    nodes = [
        *_unknown("x", "copy"),
        helper.make_node("Equal", ["copy", "x"], ["same_bits"]),
        helper.make_node("Slice", ["copy", "zero", "one", "zero"], ["row"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Gather", ["size", "last"], ["width"]),
        helper.make_node(name, READERS[name], ["read"], **attributes.get(name, {})),
        helper.make_node("Cast", ["read"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["width"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "factor"], ["y"]),
    ]
    numbers = {"zero": [0], "one": [1], "last": [2], "flat": [-1, WIDTH], "pads": [0, 0, 0, 1, 0, 0]}
    weights = [numpy_helper.from_array(np.array(value), key) for key, value in numbers.items()]
    weights += [numpy_helper.from_array(np.ones((WIDTH, WIDTH), np.float32), "w")]
    weights += [numpy_helper.from_array(np.ones(WIDTH, np.float32), "scale")]
    model = _model(nodes, *weights)
    graph = infer_shapes(model)
    assert "copy" not in graph.shapes
    assert [node.op_type for node in graph.model.graph.node] == [node.op_type for node in model.graph.node]
    folded, removed = fold_sizes(model)
    assert removed > 0
    np.testing.assert_array_equal(_run(folded), _run(model))


def test_branch_of_unknown_shape_does_not_keep_the_last_layer() -> None:
    """The product is computed for the first token; what is not known to hold tokens stays whole."""
    nodes = [
        *_unknown("x", "copy"),
        helper.make_node("Add", ["x", "copy"], ["both"]),
        helper.make_node("MatMul", ["x", "w"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("Gather", ["positive", "zero"], ["first"], axis=1),
        helper.make_node("ReduceSum", ["both"], ["all"], keepdims=0),
        helper.make_node("Add", ["first", "all"], ["y"]),
    ]
    weights = np.arange(WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH)
    model = _model(nodes, numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array(0), "zero"))
    shortened = shorten_last_layer(model)
    assert shortened.matmuls == 1
    np.testing.assert_allclose(_run(shortened.model), _run(model), rtol=1e-6)


def test_tensor_of_unknown_shape_is_not_cut() -> None:
    """It may have no axis of tokens. Its sum with the product is computed for all tokens."""
    nodes = [
        *_unknown("x", "copy"),
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["product", "copy"], ["sum"]),
        helper.make_node("Reshape", ["sum", "sizes"], ["hidden"]),
        helper.make_node("Gather", ["hidden", "zero"], ["y"], axis=1),
    ]
    weights = [numpy_helper.from_array(np.ones((WIDTH, WIDTH), np.float32), "w")]
    weights += [numpy_helper.from_array(np.array(value), key) for key, value in {"zero": 0, "sizes": [0, 0, 4]}.items()]
    model = _model(nodes, *weights)
    assert shorten_last_layer(model).matmuls == 0


def test_values_of_reversed_and_transposed_paddings_are_not_guessed() -> None:
    """torch writes the paddings of `pad(x, (0, 1))` as a matrix, reversed and transposed. One zero is added last."""
    nodes = [
        _constant("given", 0, 1, 0, 0, 0, 0),
        _constant("pairs", -1, 2),
        helper.make_node("Reshape", ["given", "pairs"], ["matrix"]),
        helper.make_node("Slice", ["matrix", "end", "before", "axis", "back"], ["reversed"]),
        helper.make_node("Transpose", ["reversed"], ["turned"], perm=[1, 0]),
        _constant("flat", -1),
        helper.make_node("Reshape", ["turned", "flat"], ["pads"]),
        helper.make_node("Pad", ["x", "pads"], ["y"]),
    ]
    bounds = {"end": [-1], "before": [-(2**63)], "axis": [0], "back": [-1]}
    model = _model(nodes, *(numpy_helper.from_array(np.array(value), name) for name, value in bounds.items()))
    graph = infer_shapes(model)
    assert "pads" not in graph.values
    folded, _ = fold_sizes(model)
    np.testing.assert_array_equal(_run(folded), _run(model))
    assert _run(folded).shape == (2, 3, WIDTH + 1)
