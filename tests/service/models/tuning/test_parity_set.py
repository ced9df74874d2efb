"""The parity set, and tau-b of two rankings."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.make_parity import CANDIDATES
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.parity_set import encoded, kendall_tau_b, queries


def test_parity_set_is_large_and_mixed() -> None:
    """200 queries with 20 candidates each, in 13 languages, from titles to pages."""
    every = queries()
    assert len(every) == 200
    assert all(len(set(query.documents)) == CANDIDATES for query in every)
    assert len({query.text for query in every}) == 200
    assert len({query.language for query in every}) == 13
    lengths = [len(document) for query in every for document in query.documents]
    assert min(lengths) < 30 < 1000 < max(lengths)


def test_encoded_bounds_queries_and_document_tokens(starter: Bundle) -> None:
    """A short tuning has no time for more."""
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=512)
    few = encoded(tokenizer, max_queries=3, max_tokens_per_doc=16)
    assert [len(query) for query in few] == [CANDIDATES] * 3
    assert max(len(pair.document) for query in few for pair in query) == 16


def test_model_for_a_few_tokens_cannot_be_measured(starter: Bundle) -> None:
    """Without a query, there is no speed to divide by."""
    with pytest.raises(BundleInvalid, match="no query of the parity set fits the model's limit of 7 tokens"):
        encoded(PairTokenizer(starter.tokenizer, max_tokens=7))


def _by_definition(first: list[int], second: list[int]) -> float:
    """Compute tau-b pair by pair (Kendall 1945)."""
    ours = [np.sign(a - b) for a, b in combinations(first, 2)]
    theirs = [np.sign(a - b) for a, b in combinations(second, 2)]
    untied = sum(map(bool, ours)) * sum(map(bool, theirs))
    return float(sum(a * b for a, b in zip(ours, theirs, strict=True)) / untied**0.5) if untied else float("nan")


@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_tau_b_follows_kendalls_definition(pairs: list[tuple[int, int]]) -> None:
    """Ties included."""
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    tau = kendall_tau_b(np.array(first, np.float32), np.array(second, np.float32))
    expected = _by_definition(first, second)
    if np.isnan(expected):
        assert tau == float(len(set(first)) == len(set(second)) == 1)
    else:
        assert tau == pytest.approx(expected)
