"""The weights that onnxruntime copies to memory."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.copied_weights import copied_weight_bytes

_TABLE, _PRODUCT = 4 * 1000 * 8, 4 * 8 * 200


def _write(path: Path, *, outside: bool, cast: bool) -> None:
    """Write a graph with a table of embeddings and a product; `cast`: the table is converted first."""
    weights = {"table": np.ones((1000, 8), np.float32), "product": np.ones((8, 200), np.float32)}
    nodes = [helper.make_node("Cast", ["table"], ["used"], to=TensorProto.FLOAT)] if cast else []
    nodes += [
        helper.make_node("Gather", ["used" if cast else "table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "product"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 200])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, path, save_as_external_data=outside, location="weights", size_threshold=0)


@pytest.mark.parametrize(("cast", "expected"), [(False, _PRODUCT), (True, _TABLE + _PRODUCT)])
def test_embeddings_outside_the_graph_stay_mapped_unless_they_are_cast(
    cast: bool, expected: int, tmp_path: Path
) -> None:
    """The kernel can drop mapped pages."""
    _write(tmp_path / "model.onnx", outside=True, cast=cast)
    size = (tmp_path / "model.onnx").stat().st_size
    assert copied_weight_bytes(tmp_path / "model.onnx") == max(size, expected)
    assert size < _TABLE


def test_all_weights_inside_a_graph_are_copied(tmp_path: Path) -> None:
    """Those of the table, too. A large graph is not read to find this out."""
    _write(tmp_path / "model.onnx", outside=False, cast=False)
    assert copied_weight_bytes(tmp_path / "model.onnx") == (tmp_path / "model.onnx").stat().st_size > _TABLE
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(600 * 10**6)
    assert copied_weight_bytes(tmp_path / "large.onnx") == 600 * 10**6


def test_tables_of_the_starter_are_not_copied(starter: Bundle) -> None:
    """All weights are stored as fp16: those of products are cast to fp32, and of the tables, the rows that are read."""
    data = starter.graph.with_name("model.onnx.data").stat().st_size
    assert 0.5 * data < copied_weight_bytes(starter.graph) < 0.6 * data
