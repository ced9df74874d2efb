"""Ranking: order by logit, ties by index, min_score before top_n; and what a scoreboard keeps."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.errors import InferenceFailed, InvalidRequest, TooLarge
from rerank_service.ranking.document import Document
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation, ScoreType, rank, relevance

LOGITS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60)
TOP_N = st.none() | st.integers(1, 70)


@given(LOGITS, TOP_N, st.none() | st.floats(0, 1))
def test_rank_is_sorted_by_logit_with_ties_in_input_order(
    logits: list[float], top_n: int | None, min_score: float | None
) -> None:
    """The reference is Python's stable sort, then the threshold, then the cut."""
    array = np.array(logits, np.float32)
    scores = relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY)
    expected = sorted(range(len(logits)), key=lambda index: -logits[index])
    if min_score is not None:
        expected = [index for index in expected if scores[index] >= min_score]
    assert rank(array, scores, top_n=top_n, min_score=min_score).tolist() == expected[:top_n]


@given(LOGITS)
def test_probability_is_in_the_unit_interval_and_monotone(logits: list[float]) -> None:
    """Saturation flattens scores, never turns them around, and never warns."""
    array = np.sort(np.array(logits, np.float32))
    scores = relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()


def test_saturated_scores_keep_the_order_of_their_logits() -> None:
    """Two logits that are both 1.0 as a probability are still ranked."""
    array = np.array([50.0, 60.0], np.float32)
    assert rank(array, relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY)).tolist() == [1, 0]


def test_raw_scores_and_identity_models_give_the_logit() -> None:
    """Neither applies a sigmoid."""
    array = np.array([-2.5], np.float32)
    assert relevance(array, Activation.SIGMOID, ScoreType.RAW)[0] == -2.5
    assert relevance(array, Activation.IDENTITY, ScoreType.PROBABILITY)[0] == -2.5


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "q", "top_n": 0}, "top_n"),
        ({"query": "q", "top_n": -3}, "top_n"),
        ({"query": "q", "max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ({"query": "q", "min_score": math.nan}, "min_score"),
    ],
)
def test_a_request_out_of_bounds_names_its_field(values: dict[str, object], field: str) -> None:
    """The error carries the field, for both edges."""
    with pytest.raises(InvalidRequest) as caught:
        RerankRequest(**values)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert field in str(caught.value)


def _board(*logits: float, **options: object) -> Scoreboard:
    request = RerankRequest(query="q", return_documents=True, **options)  # type: ignore[arg-type]
    board = Scoreboard(request, Activation.SIGMOID)
    for index in range(len(logits)):
        board.add(Document(f"text {index}", original=f"text {index}", id=f"id {index}"), truncated=index == 1)
    for index, logit in enumerate(logits):
        board.settle(index, logit)
    return board


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.integers(1, 10))
def test_a_board_keeps_the_documents_of_the_top_n_only(logits: list[float], top_n: int) -> None:
    """What is returned has its document, and no more documents are held than that."""
    board = _board(*logits, top_n=top_n)
    results = list(board.results(board.order()))
    assert [result.document for result in results] == [f"text {result.index}" for result in results]
    assert len(board._documents) == min(top_n, len(logits))


def test_a_document_below_min_score_is_not_kept() -> None:
    """It cannot be returned, so a long stream does not hold it."""
    board = _board(-3.0, 3.0, min_score=0.5)
    assert list(board._documents) == [1]


def test_a_result_carries_what_was_kept() -> None:
    """Index, id, logit, truncation and document of each."""
    results = list(_board(0.5, 2.0).results([1, 0]))
    assert [(one.index, one.id, one.logit, one.truncated, one.document) for one in results] == [
        (1, "id 1", 2.0, True, "text 1"),
        (0, "id 0", 0.5, False, "text 0"),
    ]


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_names_its_document(logit: float) -> None:
    """NaN would sort silently."""
    board = _board(1.0)
    with pytest.raises(InferenceFailed, match=r"documents\[0\]"):
        board.settle(0, logit)


@given(st.lists(st.none() | st.floats(-5, 5, width=32), max_size=40), st.integers(0, 5), TOP_N)
def test_a_board_that_is_not_full_ranks_what_it_has(logits: list[float | None], unread: int, top_n: int | None) -> None:
    """As if there were no others; and it knows those others, each once, in as few ranges as there can be."""
    board = Scoreboard(RerankRequest(query="q", top_n=top_n), Activation.SIGMOID)
    for index, logit in enumerate(logits):
        board.add(Document("text"), truncated=False)
        if logit is not None:
            board.settle(index, logit)
    scored = {index: logit for index, logit in enumerate(logits) if logit is not None}
    assert board.order().tolist() == sorted(scored, key=lambda index: -scored[index])[:top_n]
    missing = board.missing(len(logits) + unread)
    assert missing.received == len(logits) + unread
    assert [index for one in missing.unscored for index in one] == [
        index for index in range(missing.received) if index not in scored
    ]
    assert all(one.stop < other.start for one, other in pairwise(missing.unscored))


def test_a_board_bounds_the_text_that_it_keeps() -> None:
    """A stream that wants all its documents back cannot fill the memory."""
    board = Scoreboard(RerankRequest(query="q", return_documents=True), Activation.SIGMOID, max_kept_bytes=10)
    board.add(Document("text", size=8), truncated=False)
    with pytest.raises(TooLarge, match="top_n"):
        board.add(Document("text", size=3), truncated=False)
