"""Invariance: the change of a logit with padding, neighbours and order is measured."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_export.gate.invariance import invariance
from rerank_export.gate.tolerance import FP32
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch, EncodedPair


@pytest.fixture
def pairs(bundles: Callable[[str], Bundle]) -> list[EncodedPair]:
    """Three pairs of different lengths."""
    tokenizer = PairTokenizer(bundles("bert").tokenizer, max_tokens=512)
    return tokenizer.encode_documents(tokenizer.encode_query("what"), ["ok", "the lazy dog", "over the lazy dog, ok"])


def _own(batch: Batch) -> NDArray[np.float32]:
    """Return a score that depends only on its pair."""
    result: NDArray[np.float32] = (batch.input_ids * batch.attention_mask).sum(axis=1).astype(np.float32)
    return result


def _neighbours(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) + batch.rows - 1


def _width(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) * batch.length


def _place(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) * (1 + np.arange(batch.rows, dtype=np.float32))


@pytest.mark.parametrize(
    ("score", "wrong"),
    [(_own, ()), (_neighbours, ("batch",)), (_width, ("padding", "batch")), (_place, ("batch", "order"))],
)
def test_each_dependence_is_measured(
    score: Callable[[Batch], NDArray[np.float32]], wrong: tuple[str, ...], pairs: list[EncodedPair]
) -> None:
    """A score may depend on neighbours, padding or its place in the batch, or on none of them."""
    found = invariance(score, pairs, pad_id=0, max_tokens=512)
    assert {name for name in ("padding", "batch", "order") if getattr(found, name) > 0} == set(wrong)
    assert len(found.beyond(FP32)) == len(wrong)
