"""Graphs of other tools in a hub folder: other types, names and shapes, or no cross-encoder."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from support.hub_folder import (
    DOCUMENTS,
    Edit,
    append_node,
    edit_graph,
    rejection,
    served_logits,
    with_labels,
    without_token_types,
    write_hub_folder,
)
from support.small import logit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model without a manifest, as optimum writes it."""
    return write_hub_folder(tmp_path / "small")


def _as_int32(model: onnx.ModelProto) -> None:
    for graph_input in model.graph.input:
        graph_input.type.tensor_type.elem_type = TensorProto.INT32


def _as_floats(model: onnx.ModelProto) -> None:
    """Change the mask, and the token types, which are multiplied with it."""
    for graph_input in model.graph.input:
        if graph_input.name != "input_ids":
            graph_input.type.tensor_type.elem_type = TensorProto.FLOAT


def _renamed_output(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])
    append_node(model, "Identity", output=output)


def _flat(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "last"))
    append_node(model, "Squeeze", "last", output=output)


def _without_output_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


def _in_fp16(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("half", TensorProto.FLOAT16, ["rows", 1])
    append_node(model, "Cast", output=output, to=TensorProto.FLOAT16)


def _with_hidden_states(model: onnx.ModelProto) -> None:
    hidden = helper.make_tensor_value_info("worths", TensorProto.FLOAT, ["rows", "length"])
    model.graph.output.insert(0, hidden)


@pytest.mark.parametrize(
    "edit", [_as_int32, _as_floats, _renamed_output, _flat, _without_output_shape, _in_fp16, _with_hidden_states]
)
async def test_graph_of_another_tool_is_served(edit: Edit, folder: Path) -> None:
    """Other types, names and shapes, or more outputs, give the same logits."""
    edit_graph(folder, edit)
    assert await served_logits(folder) == [logit(document) for document in DOCUMENTS]


async def test_graph_without_token_types_is_served(folder: Path) -> None:
    """RoBERTa and similar models have no token types."""
    edit_graph(folder, without_token_types)
    assert await served_logits(folder) == [1 + logit(document) for document in DOCUMENTS], "the query counts too"


def _hidden_states_only(model: onnx.ModelProto) -> None:
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["rows", "length", 1])
    )
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 8
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 8), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "third"))
    model.graph.node.append(helper.make_node("Unsqueeze", ["worths", "third"], ["each"]))
    model.graph.node.append(helper.make_node("MatMul", ["each", "wide"], ["last_hidden_state"]))


def _of_one_length(model: onnx.ModelProto) -> None:
    for graph_input in model.graph.input:
        graph_input.type.tensor_type.shape.dim[0].dim_value = 1
        graph_input.type.tensor_type.shape.dim[1].dim_value = 16


def _with_classes(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("class", TensorProto.INT64, ["rows", 1])
    append_node(model, "Cast", output=output, to=TensorProto.INT64)


def _with_past_inputs(model: onnx.ModelProto) -> None:
    for at in range(8):
        model.graph.input.append(helper.make_tensor_value_info(f"past.{at}", TensorProto.FLOAT, ["rows"]))


def _with_text_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    model.graph.node[0].CopyFrom(helper.make_node("Cast", ["attention_mask"], ["worths"], to=TensorProto.FLOAT))
    model.graph.node[5].CopyFrom(helper.make_node("Cast", ["attention_mask"], ["nans"], to=TensorProto.FLOAT))


def _without_mask(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "token_type_ids"
    del model.graph.input[1]


def _without_ids(model: onnx.ModelProto) -> None:
    for node in (model.graph.node[0], model.graph.node[5]):
        node.input[1] = "attention_mask"
    del model.graph.input[0]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            _hidden_states_only,
            "output last_hidden_state has the shape (rows, length, 8), values for each token. It is an embedding model",
        ),
        (with_labels(3), "output each has the shape (rows, 3); a cross-encoder returns one or two logits per pair"),
        (with_labels(2), "describes 1 per pair: list the labels in id2label of config.json"),
        (_of_one_length, "input input_ids has the fixed shape (1, 16): export the graph with dynamic axes"),
        (
            _with_past_inputs,
            "has unsupported inputs: past.0, past.1, past.2, past.3, …; the inputs of a cross-encoder are input_ids,",
        ),
        (_with_classes, "output class has the type tensor(int64); logits need one of tensor(float)"),
        (_without_mask, "lacks the input attention_mask; a cross-encoder needs input_ids and attention_mask, or the"),
        (_without_ids, "lacks the input input_ids; a cross-encoder needs"),
        (_with_text_input, "input input_ids has the unsupported type tensor(string); supported: tensor(int64)"),
    ],
)
def test_graph_of_another_kind_of_model_is_rejected(edit: Edit, reason: str, folder: Path) -> None:
    """By its inputs or outputs."""
    edit_graph(folder, edit)
    assert reason in rejection(folder)
