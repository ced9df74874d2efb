"""fp16 graphs for a GPU, derived from an exported graph of each architecture."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.fp16 import halved
from rerank_service.models.variants.fused import cpu_logits, fused, plain, sample
from rerank_service.models.variants.packing import pack
from support.contrib import reference_logits


@pytest.fixture(params=["bert", "roberta", "xlm-roberta", "distilbert", "electra"])
def model(request: pytest.FixtureRequest, bundles: Callable[[str], Bundle]) -> onnx.ModelProto:
    """An exported graph of two layers. The last layer computes only the first token."""
    loaded = onnx.load(bundles(request.param).graph)
    plain(loaded)
    return loaded


def test_attention_is_fused_and_packed(model: onnx.ModelProto) -> None:
    """The scores stay, computed by a reference implementation of the operators."""
    feed = sample(model)
    before = cpu_logits(model, feed)
    result = fused(model)
    assert pack(result).attentions == 1
    np.testing.assert_allclose(reference_logits(result, feed), before, rtol=0, atol=1e-5)


def test_fp16_scores_are_close_to_fp32(model: onnx.ModelProto) -> None:
    """The graph runs on the CPU."""
    feed = sample(model)
    before = cpu_logits(model, feed)
    assert halved(model)
    np.testing.assert_allclose(cpu_logits(model, feed), before, rtol=0, atol=2e-2)
