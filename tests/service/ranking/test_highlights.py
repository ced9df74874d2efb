"""The sentences of results: how many results may have them, and which are the best."""

import pytest

from rerank_service.errors import InferenceFailed, TooLarge
from rerank_service.ranking.document import Document
from rerank_service.ranking.highlights import ScoredText, SentenceBoard, check_result_count, steps
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import Highlight
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation, ScoreType


def _request(top_n: int | None = None, highlights: int | None = 2) -> RerankRequest:
    return RerankRequest(query="q", top_n=top_n, highlights=highlights, score_type=ScoreType.RAW)


@pytest.mark.parametrize(
    ("top_n", "documents", "results"),
    [(None, 4, "4 results"), (5, 9, "5 results"), (9, 5, "5 results"), (None, None, "an unknown number of results")],
)
def test_too_many_results_are_rejected(top_n: int | None, documents: int | None, results: str) -> None:
    """The size of a stream is not known, so it needs `top_n`."""
    with pytest.raises(TooLarge, match=f"at most 3 results, and this request has {results}: set top_n to at most 3"):
        check_result_count(_request(top_n), documents, 3)


def test_few_results_and_requests_without_highlights_are_accepted() -> None:
    """`top_n`, or the number of documents, is within the limit."""
    for top_n, documents in ((3, None), (3, 9), (None, 3), (9, 2)):
        check_result_count(_request(top_n), documents, 3)
    check_result_count(_request(highlights=0), None, 3)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([], []),
        ([1] * 40, [16, 16, 8]),
        ([90_000, 90_000, 90_000, 1, 1], [2, 3]),
        ([1, 1_000_000, 1_000_000, 1, 0], [1, 1, 1, 2]),
    ],
    ids=["none", "many", "long", "longest"],
)
def test_steps_are_short(lengths: list[int], sizes: list[int]) -> None:
    """A cancelled request waits for one step: few texts, of few characters."""
    texts = [
        ScoredText(index=at, document=Document("a" * chars), logit=0.0, truncated=False)
        for at, chars in enumerate(lengths)
    ]
    found = list(steps(texts))
    assert [len(step) for step in found] == sizes
    assert [scored for step in found for scored in step] == texts


def test_best_sentences_come_first() -> None:
    """Of equal ones, the first in the text. A document without all logits has none."""
    board = SentenceBoard()
    board.add(4, [(0, 1), (2, 3), (4, 5)])
    board.add(2, [(0, 9), (10, 19)])
    board.add(7, [])
    for sentence, logit in enumerate((1.0, 2.0, 2.0)):
        board.record(4, sentence, logit)
    board.record(2, 0, 5.0)
    assert dict(board.best(2)) == {4: [((2, 3), 2.0), ((4, 5), 2.0)], 7: []}
    assert (board.logit(2, 0), board.logit(2, 1)) == (5.0, None)


def test_logit_that_is_not_finite_is_an_error() -> None:
    """The error names the document."""
    board = SentenceBoard()
    board.add(3, [(0, 1)])
    with pytest.raises(InferenceFailed, match=r"nan for a sentence of documents\[3\]"):
        board.record(3, 0, float("nan"))


def test_scoreboard_has_the_texts_and_highlights_of_results() -> None:
    """It keeps the texts of documents that may be returned, and drops the others."""
    board = Scoreboard(_request(top_n=2), Activation.IDENTITY)
    board.add(Document("one"), truncated=False)
    board.add(Document("a long text"), truncated=True, spans=[(0, 5), (3, 8)])
    board.add(Document("worst of all"), truncated=False, spans=[(0, 5), (5, 12)])
    for index, window, logit in ((0, 0, 1.0), (1, 0, 2.0), (1, 1, 3.0), (2, 0, 0.0), (2, 1, 0.5)):
        board.record(index, logit, window)
    short, long = (board.scored_text(index) for index in (0, 1))
    assert short == ScoredText(index=0, document=Document("one"), logit=1.0, truncated=False)
    assert (long.windowed, long.best_window, long.truncated) == ((0, 8), (3, 8), True)
    assert (short.is_one_pair, long.is_one_pair) == (True, False)
    assert board.response_bytes(3) == 2 * (50 + 2 * 25)
    board.set_highlights({1: [((3, 8), 2.5)]})
    assert [result.highlights for result in board.results([1, 0])] == [[Highlight((3, 8), 2.5, 2.5)], ()]


def test_texts_beyond_the_limit_are_an_error() -> None:
    """The error names the field that keeps them."""
    board = Scoreboard(_request(), Activation.IDENTITY, max_kept_bytes=5)
    board.add(Document("six characters"), truncated=False)
    with pytest.raises(TooLarge, match="highlights would keep more than 5 bytes"):
        board.record(0, 0.0)
