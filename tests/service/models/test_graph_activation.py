"""A foreign graph that ends with an activation is served with its logits: scores are the probabilities it returns."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.logits import GraphActivation
from rerank_service.models.bundle import open_bundle, write_manifest
from rerank_service.models.graph_activation import ending
from rerank_service.ranking.calibration_curve import sigmoid
from support.hub_folder import Edit, edit_graph, rejection, served_logits, with_labels, write_hub_folder, write_json
from support.running import running
from support.small import logit

_FACTOR = 0.05
"""The small model has logits up to 99. A sigmoid needs smaller ones."""
DOCUMENTS = ["3 4", "50", "", "7 7 7 7"]
LOGITS = [_FACTOR * logit(document) - 1 for document in DOCUMENTS]
Node = tuple[str, Sequence[str], dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model without a manifest, as optimum writes it."""
    return write_hub_folder(tmp_path / "small")


def _ending(*nodes: Node, columns: int | None = 1, kind: int = TensorProto.FLOAT) -> Edit:
    """Scale the logits, and append nodes. The last one gives the output."""

    def edit(model: onnx.ModelProto) -> None:
        graph, last = model.graph, model.graph.output[0].name
        for name, value in {
            "factor": np.float32(_FACTOR),
            "offset": np.float32(-1),
            "zero": np.float32(0),
            "one": np.float32(1),
            "second": np.int64(1),
            "axis1": np.array([1], np.int64),
            "shape": np.array([-1, 1], np.int64),
        }.items():
            if name not in {tensor.name for tensor in graph.initializer}:
                graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        steps: list[Node] = [("Mul", ["factor"], {}), ("Add", ["offset"], {}), *nodes]
        for number, (operator, inputs, attributes) in enumerate(steps):
            graph.node.append(helper.make_node(operator, [last, *inputs], [f"step{number}"], **attributes))
            last = f"step{number}"
        del graph.output[:]
        shape: list[str | int | None] = ["rows"] if columns is None else ["rows", columns]
        graph.output.append(helper.make_tensor_value_info(last, kind, shape))

    return edit


_SIGMOID: Node = ("Sigmoid", [], {})


@pytest.mark.parametrize(
    "nodes",
    [
        [_SIGMOID],
        [_SIGMOID, ("Identity", [], {}), ("Clip", ["zero", "one"], {})],
        [_SIGMOID, ("Reshape", ["shape"], {}), ("Flatten", [], {})],
        [("Squeeze", ["axis1"], {}), _SIGMOID, ("Unsqueeze", ["axis1"], {})],
        [_SIGMOID, ("Log", [], {})],
        [_SIGMOID, ("Log", [], {}), ("Exp", [], {})],
    ],
    ids=["sigmoid", "clip", "reshape", "unsqueeze", "log", "exp"],
)
async def test_sigmoid_of_a_graph_is_inverted(nodes: list[Node], folder: Path) -> None:
    """Before, its probabilities got another sigmoid: scores were from 0.50 to 0.73."""
    edit_graph(folder, _ending(*nodes))
    assert await served_logits(folder) == pytest.approx(LOGITS, abs=1e-4)


async def test_scores_are_the_probabilities_of_the_graph(folder: Path) -> None:
    """By default."""
    edit_graph(folder, _ending(_SIGMOID))
    async with running(open_bundle(folder)) as core:
        ranking = await core.rank("1", *DOCUMENTS)
    scores = {document.index: document.relevance_score for document in ranking}
    assert [scores[at] for at in range(len(DOCUMENTS))] == pytest.approx(sigmoid(np.array(LOGITS)), abs=1e-6)


async def test_flat_sigmoid_in_fp16_is_inverted(folder: Path) -> None:
    """Its probabilities have 11 bits."""
    nodes: list[Node] = [_SIGMOID, ("Cast", [], {"to": TensorProto.FLOAT16}), ("Squeeze", ["axis1"], {})]
    edit_graph(folder, _ending(*nodes, columns=None, kind=TensorProto.FLOAT16))
    assert await served_logits(folder) == pytest.approx(LOGITS, abs=0.01)


def _two_labels(*nodes: Node, columns: int = 2) -> Callable[[onnx.ModelProto], None]:
    """Return logits of two labels, 0 and the scaled logit, and append nodes."""
    labels: Node = ("MatMul", ["factors"], {})

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([[0, 1]], np.float32), "factors"))
        _ending(labels, *nodes, columns=columns)(model)

    return edit


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [("Softmax", [], {"axis": -1})],
        [("Softmax", [], {"axis": 1}), ("Clip", ["zero", "one"], {}), ("Identity", [], {})],
        [("LogSoftmax", [], {"axis": -1})],
        [("Softmax", [], {"axis": -1}), ("Log", [], {})],
        [("LogSoftmax", [], {"axis": -1}), ("Exp", [], {})],
        [_SIGMOID],
    ],
    ids=["logits", "softmax", "clip", "log softmax", "log of softmax", "exp of log softmax", "sigmoid of each"],
)
async def test_activation_over_two_labels_is_inverted(nodes: list[Node], folder: Path) -> None:
    """The score is the probability of the relevant label, as without the activation."""
    edit_graph(folder, _two_labels(*nodes))
    write_json(folder / "config.json", id2label={"0": "NOT_RELEVANT", "1": "RELEVANT"})
    assert await served_logits(folder) == pytest.approx(LOGITS, abs=1e-4)
    write_json(folder / "config.json", id2label={"0": "RELEVANT", "1": "NOT_RELEVANT"})
    assert await served_logits(folder) == pytest.approx([-each for each in LOGITS], abs=1e-4)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
async def test_one_column_of_a_softmax_is_inverted(kind: str, folder: Path) -> None:
    """The graph itself chooses the relevant label; config.json describes one."""
    edit_graph(folder, _two_labels((kind, [], {"axis": -1}), ("Gather", ["second"], {"axis": 1}), columns=1))
    model = onnx.load(folder / "model.onnx")
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(model, folder / "model.onnx")
    assert await served_logits(folder) == pytest.approx(LOGITS, abs=1e-4)


def test_softmax_over_one_label_is_rejected(folder: Path) -> None:
    """All scores would be 1."""
    edit_graph(folder, _ending(("Softmax", [], {"axis": -1})))
    assert "describes one label, whose softmax is always 1: list both labels in id2label" in rejection(folder)


@pytest.mark.parametrize(
    "nodes",
    [[], [_SIGMOID, ("Mul", ["factor"], {})], [_SIGMOID, ("Log", [], {}), ("Log", [], {})], [("Tanh", [], {})]],
    ids=["none", "scaled", "twice log", "tanh"],
)
def test_other_endings_count_as_logits(nodes: list[Node], folder: Path) -> None:
    """Nothing is guessed: a sigmoid in the middle of a graph is no activation of its output."""
    edit_graph(folder, _ending(*nodes))
    assert open_bundle(folder).manifest.graph_activation is None


def test_graph_of_several_labels_has_no_activation(folder: Path) -> None:
    """The walk ends at the first node that changes values."""
    edit_graph(folder, with_labels(2))
    assert ending(onnx.load(folder / "model.onnx")).activation is None


def test_output_called_logits_is_not_a_probability(folder: Path) -> None:
    """A graph may return both. The logits are served."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("Sigmoid", ["logits"], ["scores"]))
        model.graph.output.insert(0, helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 1]))

    edit_graph(folder, edit)
    assert open_bundle(folder).manifest.graph_activation is None


def test_sigmoid_within_a_function_is_found() -> None:
    """torch's newer exporter writes functions into the file."""
    opset = helper.make_opsetid("", 18)
    body = [helper.make_node("Sigmoid", ["x"], ["y"])]
    function = helper.make_function("own", "Head", ["x"], ["y"], body, [opset])
    value = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["rows", 1])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])
    graph = helper.make_graph([helper.make_node("Head", ["x"], ["p"], domain="own")], "graph", [given], [value])
    model = helper.make_model(graph, opset_imports=[opset, helper.make_opsetid("own", 1)], functions=[function])
    assert ending(model).activation is GraphActivation.SIGMOID


async def test_activation_is_kept_in_a_manifest(folder: Path) -> None:
    """`rerank calibrate` writes one into a folder that has none."""
    edit_graph(folder, _ending(_SIGMOID))
    bundle = write_manifest(folder, open_bundle(folder).manifest)
    assert open_bundle(folder) == bundle
    assert bundle.manifest.graph_activation is GraphActivation.SIGMOID
    assert await served_logits(folder) == pytest.approx(LOGITS, abs=1e-4)
