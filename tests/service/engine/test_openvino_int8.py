"""OpenVINO in int8: quantized activations, and rankings that stay. Needs VNNI."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine import openvino
from rerank_service.engine.available import works
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.relevance_loss import MAX_MEAN_LOSS, MAX_WORST_LOSS, relevance_loss
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.compressed import compress_weights
from rerank_service.scheduling.batching import collate
from support.compressed import with_compressed_weights

ENGINE = Engine(Provider.OPENVINO, Precision.INT8)
pytestmark = pytest.mark.skipif(not works(ENGINE), reason="OpenVINO or the processor has no int8 here")
_BUNDLE = open_bundle(STARTER)
_TOKENIZER = PairTokenizer(_BUNDLE.tokenizer, max_tokens=_BUNDLE.manifest.max_tokens)


@pytest.fixture(scope="module")
def graph() -> bytes:
    """The starter with compressed weights."""
    return with_compressed_weights(_BUNDLE.graph)


@pytest.fixture(scope="module")
def encoder(graph: bytes) -> CrossEncoder:
    """The starter on OpenVINO in int8."""
    return CrossEncoder(graph, ENGINE)


def _product(width: int) -> bytes:
    """Return a graph with one compressed product of (pairs, tokens, `width`) with a matrix of (`width`, 64)."""
    weights = np.random.default_rng(1).normal(size=(width, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pairs", "tokens", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["pairs", "tokens", 64])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    assert compress_weights(model) == 1
    serialized: bytes = model.SerializeToString()
    return serialized


@pytest.mark.parametrize("width", [128, 160, 312, 384, 1024])
def test_product_of_any_width(width: int) -> None:
    """The last group of a token may be smaller than 128."""
    graph = _product(width)
    session = openvino._session(graph, Precision.INT8, lanes=1)
    x = np.random.default_rng(2).normal(size=(3, 5, width)).astype(np.float32)
    values, scales = (numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(graph).graph.initializer)
    exact = x @ (values * scales)
    together = session.run(None, {"x": x})[0]
    error = np.abs(together - exact).mean() / np.abs(exact).mean()
    assert 1e-3 < error < 0.02
    alone = [session.run(None, {"x": x[[row]]})[0] for row in range(3)]
    assert together.tolist() == np.concatenate(alone).tolist()


def test_activations_are_quantized(graph: bytes, encoder: CrossEncoder) -> None:
    """With weights in 8 bits only, the engine would give the scores of the CPU provider, and hardly a gain."""
    pairs = _TOKENIZER.encode_documents(_TOKENIZER.encode_query("capital of France"), ["Paris", "Rome is a city"])
    batch = collate(pairs, pad_id=0, limits=default_limits(ENGINE))
    assert np.abs(encoder.score(batch) - CrossEncoder(graph).score(batch)).max() > 1e-3


def test_ranking_of_the_starter_keeps_its_relevance(encoder: CrossEncoder) -> None:
    """On four queries of the parity set: the bounds of `auto`, and the drift of a logit."""
    queries = parity_set.encoded(_TOKENIZER, max_queries=4, max_tokens_per_doc=32)
    exact, limits = CrossEncoder(_BUNDLE.graph), default_limits(ENGINE)
    both = [[logits(model.score, query, limits, 0) for model in (exact, encoder)] for query in queries]
    losses = [relevance_loss(reference, other) for reference, other in both]
    assert np.mean(losses) <= MAX_MEAN_LOSS
    assert max(losses) <= MAX_WORST_LOSS
    assert np.mean([np.abs(reference - other).mean() for reference, other in both]) < 0.1
