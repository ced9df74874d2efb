"""Estimated speed of known models."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.models.bundle import Bundle
from rerank_service.models.known_models import known_models
from rerank_service.models.known_speed import TOKENS, MeasuredSpeed, measure_speed, product_weights, speed_class
from rerank_service.models.model_options import ModelOptions


def test_weights_of_embeddings_do_not_count(tmp_path: Path) -> None:
    """Also if they are stored in fp16 and cast. Vectors, such as a bias, do not count either."""
    sizes = {"table": (50, 4), "half": (60, 4), "matrix": (4, 8), "bias": (8,)}
    weights = [numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in sizes.items()]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["a"]),
        helper.make_node("Cast", ["half"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["cast", "ids"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("MatMul", ["sum", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["out"]),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 8])
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [ids], [out], weights)), tmp_path / "g.onnx")
    assert product_weights(tmp_path / "g.onnx") == 4 * 8


def test_estimate_falls_with_the_work(small_model: Bundle, tmp_path: Path) -> None:
    """A measured model of the same work has the same speed; twice the work halves it."""
    measured = measure_speed(ModelOptions(folder=small_model.folder, cache=tmp_path))
    assert measured.documents_per_second > 0
    assert measured.model == small_model.manifest.name
    model = known_models().models[0]
    same = MeasuredSpeed("m", "cpu fp32", 100.0, model.work(TOKENS))
    assert same.estimate(model) == pytest.approx(100)
    assert MeasuredSpeed("m", "cpu fp32", 100.0, 2 * model.work(TOKENS)).estimate(model) == pytest.approx(200)


@pytest.mark.parametrize(
    ("rate", "expected"), [(200, "fast"), (199, "moderate"), (50, "moderate"), (10, "slow"), (9.9, "batch only")]
)
def test_classes_are_times_of_100_documents(rate: float, expected: str) -> None:
    """0.5 s, 2 s and 10 s."""
    assert speed_class(rate) == expected
