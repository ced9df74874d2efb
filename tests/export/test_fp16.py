"""What is derived for a GPU from exported graphs of each family; tests/service/test_fp16.py has the rest."""

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
    """An exported graph of two layers, of which the last computes its first token only."""
    loaded = onnx.load(bundles(request.param).graph)
    plain(loaded)
    return loaded


def test_each_family_is_fused_and_packed(model: onnx.ModelProto) -> None:
    """And scores the same, computed by what the operators are described to do."""
    feed = sample(model)
    before = cpu_logits(model, feed)
    result = fused(model)
    assert pack(result).attentions == 1
    np.testing.assert_allclose(reference_logits(result, feed), before, rtol=0, atol=1e-5)


def test_each_family_scores_nearly_the_same_in_fp16(model: onnx.ModelProto) -> None:
    """Run on the CPU."""
    feed = sample(model)
    before = cpu_logits(model, feed)
    assert halved(model)
    np.testing.assert_allclose(cpu_logits(model, feed), before, rtol=0, atol=2e-2)
