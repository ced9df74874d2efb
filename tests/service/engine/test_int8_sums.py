"""int8 graphs of other tools: no processor cuts their sums (docs/decisions/0073-int8-without-overflow.md)."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.scheduling.batching import Batch

_LENGTH = 64
_WEIGHTS = {"values": np.full((_LENGTH, 1), 127, np.int8), "one": np.float32(1), "zero": np.uint8(0)}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph with the largest weights. It has no metadata, like graphs of onnxruntime's quantization."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.UINT8),
        helper.make_node(
            "MatMulIntegerToFloat", ["ids", "values", "one", "one", "zero"], ["logits"], domain="com.microsoft"
        ),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "length"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 1])
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in _WEIGHTS.items()]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(nodes, "sums", [ids], [logits], weights)
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("engine", [CPU_FP32, Engine(Provider.CPU, Precision.INT8)], ids=str)
def test_largest_sums_are_exact(graph: Path, engine: Engine) -> None:
    """As the bundle's graph, and as its int8 graph."""
    ids = np.full((3, _LENGTH), 255)
    logits = CrossEncoder(graph, engine).score(Batch(ids, np.ones_like(ids), np.zeros_like(ids)))
    assert logits.tolist() == [255 * 127 * _LENGTH] * 3
