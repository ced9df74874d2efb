"""Ranking: order by logit, ties by index, min_score before top_n; and what a scoreboard keeps."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.errors import InferenceFailed, InvalidRequest, TooLarge
from rerank_service.ranking.calibration_curve import Calibration, Platt
from rerank_service.ranking.document import Document, Span
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, WindowScore
from rerank_service.ranking.results import Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation, ScoreType, rank, relevance

LOGITS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60)
CALIBRATION = Calibration(meaning="probability", curve=Platt(slope=2, intercept=1))
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


def test_a_calibration_makes_the_score_unless_the_sigmoid_is_asked_for() -> None:
    """A curve of slope 2 and intercept 1, computed by hand."""
    array = np.array([-1.0, 0.5], np.float32)
    for activation in Activation:
        for score_type in (ScoreType.PROBABILITY, ScoreType.CALIBRATED):
            scores = relevance(array, activation, score_type, CALIBRATION)
            assert scores.tolist() == pytest.approx([1 / (1 + math.e), 1 / (1 + math.exp(-2))])
    scores = relevance(array, Activation.SIGMOID, ScoreType.SIGMOID, CALIBRATION)
    assert scores.tolist() == pytest.approx([1 / (1 + math.e), 1 / (1 + math.exp(-0.5))])


def test_calibrated_scores_of_a_model_without_a_calibration_are_refused() -> None:
    """At once: a scoreboard for such a request cannot be made."""
    with pytest.raises(InvalidRequest, match="calibrate") as caught:
        Scoreboard(RerankRequest(query="q", score_type=ScoreType.CALIBRATED), Activation.SIGMOID)
    assert (caught.value.field, caught.value.reason) == ("score_type", "not_calibrated")


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
        board.record(index, logit)
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
        board.record(0, logit)


@given(st.lists(st.none() | st.floats(-5, 5, width=32), max_size=40), st.integers(0, 5), TOP_N)
def test_a_board_that_is_not_full_ranks_what_it_has(logits: list[float | None], unread: int, top_n: int | None) -> None:
    """As if there were no others; and it knows those others, each once, in as few ranges as there can be."""
    board = Scoreboard(RerankRequest(query="q", top_n=top_n), Activation.SIGMOID)
    for index, logit in enumerate(logits):
        board.add(Document("text"), truncated=False)
        if logit is not None:
            board.record(index, logit)
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


@given(st.permutations(range(5)), st.lists(st.sampled_from([-1.0, 0.5, 2.0]), min_size=5, max_size=5))
def test_a_document_in_windows_has_the_score_of_its_best(order: list[int], logits: list[float]) -> None:
    """In whatever order they are scored: the best, or the mean of the best two; of equal ones the first is shown."""
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


def test_a_single_window_has_no_second_best() -> None:
    """The mean of the best two is then the one there is."""
    board = Scoreboard(RerankRequest(query="q", window_score=WindowScore.BEST_TWO), Activation.SIGMOID)
    board.add(Document("text"), truncated=True, spans=[(0, 15)])
    assert board.record(0, 0.5)
    assert board.logit(0) == 0.5


def _with_copy(spans: list[Span]) -> Scoreboard:
    """A board of a document whose second window is the better one, and of a copy of it that is not scored."""
    board = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    board.add(Document("text"), truncated=False, spans=spans)
    board.add(Document("text"), truncated=False, spans=spans, duplicate=True)
    for window, logit in enumerate((1.0, 3.0)):
        board.record(0, logit, window)
    return board


def test_a_copy_has_the_score_and_the_window_of_its_original() -> None:
    """Its windows are counted, and not waited for."""
    board = _with_copy([(0, 8), (4, 12)])
    assert (board.logit(0), board.logit(1)) == (3.0, None)
    board.copy_score(1, 0)
    assert [(one.index, one.logit, one.best_window) for one in board.results(board.order())] == [
        (0, 3.0, (4, 12)),
        (1, 3.0, (4, 12)),
    ]
    assert board.windows == 4


def test_a_copy_whose_score_comes_by_itself_has_the_window_of_its_original() -> None:
    """The order does not matter: the score may come later."""
    board = _with_copy([(0, 8), (4, 12)])
    board.copy_best_window(1, 0)
    assert board.logit(1) is None
    board.record(1, 3.0)
    assert [one.best_window for one in board.results([1])] == [(4, 12)]


def test_the_size_of_an_answer_grows_with_its_results_and_what_they_return() -> None:
    """It does not grow with documents that are not returned."""
    bare = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    assert bare.response_bytes(0) == 0
    assert bare.response_bytes(20) == 2 * bare.response_bytes(10)
    top = Scoreboard(RerankRequest(query="q", top_n=10, return_documents=True), Activation.SIGMOID)
    assert top.response_bytes(20) == bare.response_bytes(10)
    top.add(Document("text", size=1000), truncated=False)
    assert top.response_bytes(20) == bare.response_bytes(10) + 1000


def test_a_ranking_gives_its_results_as_they_are_asked_for() -> None:
    """Its length is what is returned; documents and windows are those of the request."""
    board = _board(0.5, 2.0, -1.0, top_n=2)
    timing = Timing(queue=0, tokenize=0, inference=0, total=0)
    ranking = Ranking(model="small", order=board.order(), usage=Usage(), timing=timing, board=board)
    assert [(one.index, one.logit) for one in ranking] == [(1, 2.0), (0, 0.5)]
    assert (len(ranking), ranking.documents, ranking.windows) == (2, 3, 3)
