"""Tokens per second and logits, with the batching code of the server."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set, throughput
from rerank_service.scheduling.batching import Batch, EncodedPair
from rerank_service.scheduling.cost_model import CostModel
from support.limits import batch_limits

LIMITS = batch_limits()


@pytest.fixture(scope="module")
def queries(starter: Bundle) -> list[list[EncodedPair]]:
    """Four queries of the parity set."""
    return parity_set.encoded(PairTokenizer(starter.tokenizer, max_tokens=512), max_queries=4, max_tokens_per_doc=16)


def test_throughput_counts_tokens_without_padding_of_all_lanes(queries: list[list[EncodedPair]]) -> None:
    """Each pair is scored once. The cost model learns from each batch."""
    pairs = [pair for query in queries for pair in query]
    seen: list[int] = []
    lock = threading.Lock()

    def score(batch: Batch) -> NDArray[np.float32]:
        with lock:
            seen.extend(batch.attention_mask.sum(axis=1).tolist())
        return np.zeros(batch.rows, np.float32)

    cost = CostModel()
    before = cost.weights
    assert throughput.throughput(score, pairs, LIMITS, pad_id=0, lanes=2, cost=cost) > 0
    assert sorted(seen) == sorted(map(len, pairs))
    assert cost.weights != before


def test_batch_without_memory_is_halved(queries: list[list[EncodedPair]]) -> None:
    """The server does the same. A single pair without memory is an error."""
    pairs = [pair for query in queries for pair in query]

    def score_up_to(rows: int) -> throughput.Score:
        def score(batch: Batch) -> NDArray[np.float32]:
            if batch.rows > rows:
                raise OutOfMemory("there is no memory")
            lengths: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
            return lengths

        return score

    assert throughput.logits(score_up_to(1), pairs, LIMITS, 0).tolist() == list(map(len, pairs))
    assert throughput.throughput(score_up_to(2), pairs, LIMITS, pad_id=0, lanes=2) > 0
    with pytest.raises(OutOfMemory):
        throughput.logits(score_up_to(0), pairs, LIMITS, 0)


def test_logits_are_in_the_order_of_the_pairs(queries: list[list[EncodedPair]]) -> None:
    """Batches are formed by length."""

    def token_counts(batch: Batch) -> NDArray[np.float32]:
        counts: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
        return counts

    scores = throughput.logits(token_counts, queries[0], LIMITS, 0)
    assert scores.tolist() == [float(len(pair)) for pair in queries[0]]
