"""The pass that writes the sizes of a Reshape as constants."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_export.graph.passes.reshape_sizes import write_reshape_sizes
from rerank_service.models.bundle import Bundle

HEADS, HEAD = 2, 3
WIDTH = HEADS * HEAD


def _model(nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """Return a graph from x of shape (rows, tokens, WIDTH) to y."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "tokens", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([value], np.int64), f"n{value}") for value in (0, 1, HEADS, HEAD, WIDTH)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _size(axis: int, name: str, source: str = "x") -> list[onnx.NodeProto]:
    """Return nodes for the size of an axis, of shape (1,)."""
    return [
        helper.make_node("Shape", [source], [f"{name}.shape"]),
        helper.make_node("Gather", [f"{name}.shape", f"n{axis}"], [name]),
    ]


def _reshape(source: str, sizes: Sequence[str], result: str, *, allowzero: int = 0) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Concat", sizes, [f"{result}.to"], axis=0),
        helper.make_node("Reshape", [source, f"{result}.to"], [result], allowzero=allowzero),
    ]


def _run(model: onnx.ModelProto, rows: int, tokens: int) -> NDArray[np.float32]:
    x = np.random.default_rng(0).normal(size=(rows, tokens, WIDTH)).astype(np.float32)
    result: NDArray[np.float32] = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return result


HEADS_AND_BACK = [
    *_size(0, "rows"),
    *_size(1, "tokens"),
    *_reshape("x", ["rows", "tokens", f"n{HEADS}", f"n{HEAD}"], "heads", allowzero=1),
    helper.make_node("Transpose", ["heads"], ["turned"], perm=[0, 2, 1, 3]),
    helper.make_node("Transpose", ["turned"], ["back"], perm=[0, 2, 1, 3]),
    *_reshape("back", ["rows", "tokens", f"n{WIDTH}"], "y"),
]
ONE_MATRIX = [*_size(0, "rows"), *_size(1, "tokens"), helper.make_node("Mul", ["rows", "tokens"], ["all"])]
ONE_MATRIX += _reshape("x", ["all", f"n{WIDTH}"], "y")
SWAPPED = [*_size(0, "rows"), *_size(1, "tokens"), *_reshape("x", ["tokens", "rows", f"n{WIDTH}"], "y")]


@pytest.mark.parametrize(
    ("nodes", "sizes"),
    [
        (HEADS_AND_BACK, {"heads": [0, 0, HEADS, HEAD], "y": [0, 0, WIDTH]}),
        (ONE_MATRIX, {"y": [-1, WIDTH]}),
    ],
    ids=["heads", "matrix"],
)
def test_sizes_are_constants(nodes: list[onnx.NodeProto], sizes: dict[str, list[int]]) -> None:
    """An axis that stays is copied, and one size may follow from the others. Nothing else is left of the sizes."""
    model = _model(nodes)
    written, reshapes = write_reshape_sizes(model)
    assert reshapes == len(sizes)
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t).tolist()
        for node in written.graph.node
        if node.op_type == "Constant"
    }
    assert {
        node.output[0]: constants[node.input[1]] for node in written.graph.node if node.op_type == "Reshape"
    } == sizes
    assert {node.op_type for node in written.graph.node} <= {"Constant", "Reshape", "Transpose"}
    for rows, tokens in ((1, 1), (2, 5), (4, 3)):
        np.testing.assert_array_equal(_run(written, rows, tokens), _run(model, rows, tokens))


def test_two_sizes_that_depend_on_the_batch_stay() -> None:
    """Rows and tokens change places: no constant stands for both."""
    model = _model(SWAPPED)
    written, reshapes = write_reshape_sizes(model)
    assert reshapes == 0
    np.testing.assert_array_equal(_run(written, 2, 5), _run(model, 2, 5))


def test_constant_sizes_stay_as_they_are() -> None:
    """There is nothing to write."""
    once, _ = write_reshape_sizes(_model(HEADS_AND_BACK))
    twice, reshapes = write_reshape_sizes(once)
    assert reshapes == 0
    assert [node.op_type for node in twice.graph.node] == [node.op_type for node in once.graph.node]


@pytest.mark.parametrize("name", ["bert", "xlm-roberta"])
def test_exported_encoder_computes_no_sizes_of_heads(bundles: Callable[[str], Bundle], name: str) -> None:
    """Each Reshape reads sizes that are in the graph."""
    bundle = bundles(name)
    assert bundle.manifest.recipe["passes"]["reshape_sizes"].startswith("constant sizes for ")
    graph = onnx.load(bundle.graph, load_external_data=False).graph
    constants = {node.output[0] for node in graph.node if node.op_type == "Constant"}
    constants |= {weight.name for weight in graph.initializer}
    assert all(node.input[1] in constants for node in graph.node if node.op_type == "Reshape")
