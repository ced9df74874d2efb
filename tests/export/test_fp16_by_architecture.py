"""fp16 graphs for a GPU, derived from an exported graph of each architecture."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.fp16 import rewrite_fp16
from rerank_service.models.variants.fusion import cpu_output, fuse, remove_casts, sample_feed
from rerank_service.models.variants.packing import pack
from support.contrib import reference_logits


@pytest.fixture(params=["bert", "roberta", "xlm-roberta", "distilbert", "electra"])
def model(request: pytest.FixtureRequest, bundles: Callable[[str], Bundle]) -> onnx.ModelProto:
    """An exported graph of two layers. The last layer computes only the first token."""
    loaded = onnx.load(bundles(request.param).graph)
    remove_casts(loaded)
    return loaded


def test_attention_is_fused_and_packed(model: onnx.ModelProto) -> None:
    """The scores stay, computed by a reference implementation of the operators."""
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    result = fuse(model)
    assert pack(result).attentions == 1
    np.testing.assert_allclose(reference_logits(result, feed), before, rtol=0, atol=1e-5)


def test_fp16_scores_are_close_to_fp32(model: onnx.ModelProto) -> None:
    """The graph runs on the CPU."""
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    assert rewrite_fp16(model)
    np.testing.assert_allclose(cpu_output(model, feed), before, rtol=0, atol=2e-2)
