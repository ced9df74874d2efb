"""The precision of a foreign graph is read from the graph, whatever its file is called."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle
from rerank_service.models.graph_precision import precisions
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.startup import EngineRequest, runnable_request
from support.hub_folder import DOCUMENTS, Edit, edit_graph, served_logits, write_hub_folder
from support.small import logit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model without a manifest. Its graph is called model.onnx."""
    return write_hub_folder(tmp_path / "small")


def _stored_as(kind: int, operator: str, *more: str) -> Edit:
    """Store the tables in another type, and convert them to fp32 by an operator."""

    def edit(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 21
        attributes: dict[str, Any] = {"to": TensorProto.FLOAT} if operator == "Cast" else {}
        for tensor in model.graph.initializer[:2]:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            if kind == TensorProto.INT4:
                values = values.clip(0, 7)
            numbers = values.astype(int) if kind in (TensorProto.INT16, TensorProto.INT8, TensorProto.INT4) else values
            tensor.CopyFrom(helper.make_tensor(f"stored.{name}", kind, values.shape, numbers.tolist()))
            model.graph.node.insert(0, helper.make_node(operator, [f"stored.{name}", *more], [name], **attributes))
        model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "scale"))

    return edit


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (_stored_as(TensorProto.INT8, "DequantizeLinear", "scale"), ("int8", "int8")),
        (_stored_as(TensorProto.INT4, "DequantizeLinear", "scale"), ("int4", "int4")),
        (_stored_as(TensorProto.INT16, "DequantizeLinear", "scale"), ("int8", "int8")),
        (_stored_as(TensorProto.FLOAT16, "Cast"), ("fp32", "fp16")),
        (_stored_as(TensorProto.BFLOAT16, "Cast"), ("fp32", "bf16")),
        (lambda _: None, ("fp32", "fp32")),
    ],
    ids=["int8", "int4", "int16", "fp16", "bf16", "fp32"],
)
def test_precision_is_that_of_the_graph(edit: Edit, expected: tuple[str, str], folder: Path, tmp_path: Path) -> None:
    """The bundle and the served model report it."""
    edit_graph(folder, edit)
    graph = open_bundle(folder).manifest.variants[0]
    assert (graph.precision, graph.weights) == expected
    served = load_selected(ModelOptions(folder=folder, cache=tmp_path / "cache"))
    assert (served.info.precision, served.info.provider) == (expected[0], "CPUExecutionProvider")
    quantized = f"the graph is quantized to {expected[0]}, and runs unchanged"
    assert served.info.reason == (quantized if "int" in expected[0] else "exact, and not tuned on this machine yet")


@pytest.mark.parametrize("precision", ["fp32", "int8", "bf16"])
def test_another_precision_of_a_quantized_graph_is_rejected(precision: str, folder: Path, tmp_path: Path) -> None:
    """No other graph is derived from it, and a tuning compares no other engine with it."""
    edit_graph(folder, _stored_as(TensorProto.INT4, "DequantizeLinear", "scale"))
    options = ModelOptions(folder=folder, cache=tmp_path / "cache")
    requested = EngineRequest(Provider.AUTO, Precision(precision))
    with pytest.raises(BundleInvalid, match=rf"model\.onnx is quantized to int4 .*--precision {precision} needs the"):
        load_selected(replace(options, requested=requested))
    assert not runnable_request(open_bundle(folder), EngineRequest()).is_open


async def test_quantized_graph_scores_as_before(folder: Path) -> None:
    """It runs unchanged."""
    edit_graph(folder, _stored_as(TensorProto.INT8, "DequantizeLinear", "scale"))
    assert await served_logits(folder) == [logit(document) for document in DOCUMENTS]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (helper.make_node("MatMulInteger", ["a", "b"], ["c"]), "int8"),
        (helper.make_node("DynamicQuantizeLinear", ["a"], ["c", "d", "e"]), "int8"),
        (helper.make_node("QLinearMatMul", ["a", "b"], ["c"]), "int8"),
        (helper.make_node("DynamicQuantizeMatMul", ["a", "b"], ["c"], domain="com.microsoft"), "int8"),
        (helper.make_node("MatMulNBits", ["a", "b"], ["c"], domain="com.microsoft"), "int4"),
        (helper.make_node("MatMulNBits", ["a", "b"], ["c"], domain="com.microsoft", bits=8), "int8"),
        (helper.make_node("MatMulNBits", ["a", "b"], ["c"], domain="com.microsoft", bits=2), "int2"),
        (helper.make_node("GatherBlockQuantized", ["a", "b"], ["c"], domain="com.microsoft"), "int4"),
        (helper.make_node("MatMulBnb4", ["a", "b"], ["c"], domain="com.microsoft"), "int4"),
        (helper.make_node("MatMul", ["a", "b"], ["c"]), "fp32"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.op_type,
)
@pytest.mark.parametrize("place", ["graph", "branch", "function"])
def test_each_quantized_operator_is_recognized(place: str, node: onnx.NodeProto, expected: str) -> None:
    """Also in a branch of the graph, and in a function that the file defines."""
    outer = node
    functions = []
    if place == "branch":
        branch = helper.make_graph([node], "branch", [], [])
        outer = helper.make_node("If", ["yes"], ["d"], then_branch=branch, else_branch=branch)
    if place == "function":
        functions = [helper.make_function("own", "Layer", [], ["c"], [node], [helper.make_opsetid("", 18)])]
        outer = helper.make_node("Layer", [], ["d"], domain="own")
    model = helper.make_model(helper.make_graph([outer], "graph", [], []), functions=functions)
    assert precisions(model)[0] == expected
