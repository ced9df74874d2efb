"""The scoreboard: scores, windows, duplicates, and the documents that it keeps."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, InvalidRequest, TooLarge
from rerank_service.ranking.document import Document, Span
from rerank_service.ranking.request import RerankRequest, WindowScore
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation, ScoreType

TOP_N = st.none() | st.integers(1, 70)


def test_calibrated_scores_need_a_calibration() -> None:
    """The scoreboard of such a request cannot be created."""
    with pytest.raises(InvalidRequest, match="calibrate") as caught:
        Scoreboard(RerankRequest(query="q", score_type=ScoreType.CALIBRATED), Activation.SIGMOID)
    assert (caught.value.field, caught.value.reason) == ("score_type", "not_calibrated")


def _board(*logits: float, **options: object) -> Scoreboard:
    request = RerankRequest(query="q", return_documents=True, **options)  # type: ignore[arg-type]
    board = Scoreboard(request, Activation.SIGMOID)
    for index in range(len(logits)):
        board.add(Document(f"text {index}", original=f"text {index}", id=f"id {index}"), truncated=index == 1)
    for index, logit in enumerate(logits):
        board.record(index, logit)
    return board


def test_order_needs_scores_for_a_minimum_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits have the same order."""
    minimum, board = _board(3, 1, 2, min_score=0.8), _board(3, 1, 2)
    scored: list[int] = []

    def relevance(logits: NDArray[np.float32]) -> NDArray[np.float64]:
        scored.append(len(logits))
        return np.array([0.9, 0.7, 0.8])

    for each in (minimum, board):
        monkeypatch.setattr(each, "_relevance", relevance)
    assert board.order().tolist() == [0, 2, 1]
    assert scored == []
    assert minimum.order().tolist() == [0, 2]
    assert scored == [3]


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.integers(1, 10))
def test_board_keeps_only_the_documents_of_the_top_n(logits: list[float], top_n: int) -> None:
    """Each result has its document, and no other document is kept."""
    board = _board(*logits, top_n=top_n)
    results = list(board.results(board.order()))
    assert [result.document for result in results] == [f"text {result.index}" for result in results]
    assert len(board._documents) == min(top_n, len(logits))


def test_document_below_min_score_is_not_kept() -> None:
    """It cannot be returned, so a long stream need not keep it."""
    board = _board(-3.0, 3.0, min_score=0.5)
    assert list(board._documents) == [1]


def test_result_holds_the_data_of_its_document() -> None:
    """Index, id, logit, truncation and document."""
    results = list(_board(0.5, 2.0).results([1, 0]))
    assert [(result.index, result.id, result.logit, result.truncated, result.document) for result in results] == [
        (1, "id 1", 2.0, True, "text 1"),
        (0, "id 0", 0.5, False, "text 0"),
    ]


@pytest.mark.parametrize("documents", [0, 1, 1_000, 2_001])
def test_a_long_ranking_has_each_document_once(documents: int) -> None:
    """Its numbers are read in parts. Documents may be added to the board meanwhile."""
    board = _board(*range(documents))
    indexes = list(range(documents))[::-1]
    results = []
    for result in board.results(indexes):
        board.add(Document("later"), truncated=False)
        results.append(result)
    assert [(result.index, result.logit) for result in results] == [(index, float(index)) for index in indexes]


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_error_for_a_logit_that_is_not_finite_names_the_document(logit: float) -> None:
    """NaN would otherwise be sorted without notice."""
    board = _board(1.0)
    with pytest.raises(InferenceFailed, match=r"documents\[0\]"):
        board.record(0, logit)


@given(st.lists(st.none() | st.floats(-5, 5, width=32), max_size=40), st.integers(0, 5), TOP_N)
def test_incomplete_board_ranks_scored_documents(logits: list[float | None], unread: int, top_n: int | None) -> None:
    """It lists each unscored document once, in as few ranges as possible."""
    board = Scoreboard(RerankRequest(query="q", top_n=top_n), Activation.SIGMOID)
    for index, logit in enumerate(logits):
        board.add(Document("text"), truncated=False)
        if logit is not None:
            board.record(index, logit)
    scored = {index: logit for index, logit in enumerate(logits) if logit is not None}
    assert board.order().tolist() == sorted(scored, key=lambda index: -scored[index])[:top_n]
    missing = board.missing(len(logits) + unread)
    assert missing.received == len(logits) + unread
    assert [index for unscored in missing.unscored for index in unscored] == [
        index for index in range(missing.received) if index not in scored
    ]
    assert all(left.stop < right.start for left, right in pairwise(missing.unscored))


def test_memory_of_kept_documents_is_limited() -> None:
    """A stream that wants all its documents back cannot fill the memory."""
    board = Scoreboard(RerankRequest(query="q", return_documents=True), Activation.SIGMOID, max_kept_bytes=10)
    for size in (8, 2, 3):
        board.add(Document("text", size=size), truncated=False)
    board.record(1, 0.0)
    board.record(0, 0.0)
    with pytest.raises(TooLarge, match="top_n"):
        board.record(2, 0.0)


def test_memory_of_unscored_documents_is_separate() -> None:
    """They may be outside the `top_n`. Two documents of 8 bytes are never in the ranking at once."""
    request = RerankRequest(query="q", return_documents=True, top_n=1)
    board = Scoreboard(request, Activation.SIGMOID, max_kept_bytes=10)
    for _ in range(3):
        board.add(Document("text", size=8), truncated=False)
    assert board.unscored_bytes == 24
    for index, logit in enumerate((1.0, 2.0, 0.0)):
        board.record(index, logit)
    assert board.unscored_bytes == 0
    assert [result.index for result in board.results(board.order())] == [1]


@given(st.permutations(range(5)), st.lists(st.sampled_from([-1.0, 0.5, 2.0]), min_size=5, max_size=5))
def test_windows_are_combined_into_the_score_of_the_document(order: list[int], logits: list[float]) -> None:
    """In whatever order they are scored: the best logit, or the mean of the best two. The first of equal windows is
    returned."""
    spans = [(10 * window, 10 * window + 15) for window in range(5)]
    for window_score, expected in (
        (WindowScore.BEST, max(logits)),
        (WindowScore.BEST_TWO, sum(sorted(logits)[-2:]) / 2),
    ):
        board = Scoreboard(RerankRequest(query="q", window_score=window_score), Activation.SIGMOID)
        board.add(Document("text"), truncated=False, spans=spans)
        assert [board.record(0, logits[window], window) for window in order] == [False] * 4 + [True]
        (result,) = board.results([0])
        assert (result.logit, result.windows, result.best_window) == (expected, 5, spans[logits.index(max(logits))])


def test_best_two_of_a_single_window_is_its_logit() -> None:
    """There is no second window."""
    board = Scoreboard(RerankRequest(query="q", window_score=WindowScore.BEST_TWO), Activation.SIGMOID)
    board.add(Document("text"), truncated=True, spans=[(0, 15)])
    assert board.record(0, 0.5)
    assert board.logit(0) == 0.5


def _board_with_a_duplicate(spans: list[Span]) -> Scoreboard:
    """Return a board with a document whose second window is the best, and an unscored duplicate of it."""
    board = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    board.add(Document("text"), truncated=False, spans=spans)
    board.add(Document("text"), truncated=False, spans=spans, duplicate=True)
    for window, logit in enumerate((1.0, 3.0)):
        board.record(0, logit, window)
    return board


def test_duplicate_gets_score_and_best_window_of_its_original() -> None:
    """Its windows are counted, but not scored."""
    board = _board_with_a_duplicate([(0, 8), (4, 12)])
    assert (board.logit(0), board.logit(1)) == (3.0, None)
    board.copy_score(1, 0)
    assert [(result.index, result.logit, result.best_window) for result in board.results(board.order())] == [
        (0, 3.0, (4, 12)),
        (1, 3.0, (4, 12)),
    ]
    assert board.windows == 4


def test_best_window_can_be_copied_before_the_score() -> None:
    """The score is recorded separately."""
    board = _board_with_a_duplicate([(0, 8), (4, 12)])
    board.copy_best_window(1, 0)
    assert board.logit(1) is None
    board.record(1, 3.0)
    assert [result.best_window for result in board.results([1])] == [(4, 12)]


def test_response_bytes_grow_with_results_and_returned_documents() -> None:
    """Documents that are not returned do not count, nor do those without a score: a partial ranking leaves them out."""
    bare = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    assert bare.response_bytes(0) == 0
    assert bare.response_bytes(20) == 2 * bare.response_bytes(10)
    top = Scoreboard(RerankRequest(query="q", top_n=10, return_documents=True), Activation.SIGMOID)
    assert top.response_bytes(20) == bare.response_bytes(10)
    top.add(Document("text", size=1000), truncated=False)
    assert top.response_bytes(20) == bare.response_bytes(10)
    top.record(0, 0.0)
    assert top.response_bytes(20) == bare.response_bytes(10) + 1000


def test_document_with_unscored_windows_has_no_score() -> None:
    """The best of some windows is not the best of all: in a partial ranking the document is unscored."""
    board = Scoreboard(RerankRequest(query="0"), Activation.SIGMOID)
    board.add(Document("short"), truncated=False)
    board.add(Document("long"), truncated=False, spans=[(0, 2), (2, 4)])
    assert board.record(0, 1.0)
    assert not board.record(1, 9.0, 1)
    assert board.missing(2).unscored == [range(1, 2)]
    assert board.order().tolist() == [0]
    assert board.record(1, 3.0, 0)
    assert (board.logit(1), board.order().tolist()) == (9.0, [1, 0])
