"""Weights are stored as fp16 if that loses nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_export.bundle import bundle_builder
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.graph.weight_storage import halve_weights
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch

LARGE = 512
"""Size of a tensor that is large enough to be stored as fp16."""


@pytest.fixture(scope="module")
def half_source(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model published in fp16."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("half") / "half"
    AutoModelForSequenceClassification.from_pretrained(sources("bert"), dtype=torch.float16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(sources("bert")).save_pretrained(folder)
    return folder


def _logits(bundle: Bundle) -> NDArray[np.float32]:
    ids = np.random.default_rng(20).integers(0, 200, (4, 64))
    return CrossEncoder(bundle.graph).score(Batch(ids, np.ones_like(ids), np.zeros_like(ids)))


def _stored_types(bundle: Bundle) -> set[int]:
    graph = onnx.load(bundle.graph, load_external_data=False).graph
    return {tensor.data_type for tensor in graph.initializer if tensor.external_data}


def test_fp16_model_is_stored_as_fp16_and_computed_in_fp32(
    half_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes half the size, and the logits are bit for bit those of the same weights stored as fp32."""
    half = export(ExportRequest(str(half_source), tmp_path / "half")).bundle
    monkeypatch.setattr(bundle_builder, "halve_weights", lambda graph: False)
    full = export(ExportRequest(str(half_source), tmp_path / "full")).bundle
    assert (half.manifest.variants[0].precision, half.manifest.variants[0].weights) == ("fp32", "fp16")
    assert _stored_types(half) == {TensorProto.FLOAT16}
    size = (half.folder / "model.onnx.data").stat().st_size / (full.folder / "model.onnx.data").stat().st_size
    assert size == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(_logits(half), _logits(full))


def test_fp32_model_is_stored_unchanged(bundles: Callable[[str], Bundle]) -> None:
    """Weights that fp16 cannot represent stay fp32."""
    bundle = bundles("bert")
    assert bundle.manifest.variants[0].weights == "fp32"
    assert TensorProto.FLOAT in _stored_types(bundle)


def _graph(**weights: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a graph that adds its input and all weights."""
    tensors = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    shape = [next(iter(weights.values())).size]
    put, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("put", "out"))
    graph = helper.make_graph([helper.make_node("Sum", ["put", *weights], ["out"])], "sum", [put], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _types(model: onnx.ModelProto) -> list[int]:
    return [tensor.data_type for tensor in model.graph.initializer]


@pytest.mark.parametrize("odd", [0.1, 1e5, 1e-9, np.nan, np.inf], ids=str)
def test_each_tensor_is_stored_by_its_own_numbers(odd: float) -> None:
    """One number that fp16 cannot represent keeps only its tensor in fp32. The sum stays exact."""
    plain = np.arange(LARGE, dtype=np.float32)
    other = np.full(LARGE, odd, np.float32)
    model = _graph(plain=plain, other=other)
    exact = bool(np.isinf(odd))
    assert halve_weights(model) is exact
    assert _types(model) == [TensorProto.FLOAT16, TensorProto.FLOAT16 if exact else TensorProto.FLOAT]
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (total,) = session.run(None, {"put": np.ones(LARGE, np.float32)})
    np.testing.assert_array_equal(total, np.float32(1) + plain + other)


def test_small_tensors_stay_in_the_graph() -> None:
    """A cast would cost more than it saves. They do not make the model count as fp32."""
    model = _graph(small=np.full(8, 0.1, np.float32))
    assert halve_weights(model) is True
    assert _types(model) == [TensorProto.FLOAT]
