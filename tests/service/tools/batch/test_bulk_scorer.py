"""Many pairs at once, with a model in this process."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import InvalidRequest
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from support.limits import batch_limits, request_limits
from support.panics import PANICKING
from support.running import running
from support.small import BOOM, NAN, logit

_RAW = RerankRequest(query="unused", score_type=ScoreType.RAW)


@contextmanager
def _scorer(
    bundle: Bundle, options: RerankRequest = _RAW, *, lanes: int = 2, max_chars: int = 2000
) -> Iterator[BulkScorer]:
    model = build_model(bundle, limits=batch_limits(), lanes=lanes)
    with BulkScorer(model, replace(request_limits(), max_document_chars=max_chars), options) as scorer:
        yield scorer


def _random_pairs(count: int) -> Pairs:
    generator = np.random.default_rng(1)
    documents = [" ".join(map(str, generator.integers(0, 99, generator.integers(1, 60)))) for _ in range(count)]
    return Pairs([str(at // 5) for at in range(count)], documents)


def _score(scorer: BulkScorer, *pairs: tuple[str, str]) -> PairScores:
    queries, documents = zip(*pairs, strict=True)
    return scorer.submit(Pairs(queries, documents))()


@pytest.mark.parametrize("too_long", [TooLong.WINDOWS, TooLong.CUT])
async def test_scores_are_those_of_the_server(small_model: Bundle, too_long: TooLong) -> None:
    """Also of long documents, in windows or cut, and of queries that are too long."""
    pairs = _random_pairs(40)
    pairs = Pairs([*pairs.queries, "5 " * 100], [*pairs.documents, "1 2 3"])
    options = replace(_RAW, too_long=too_long)
    with _scorer(small_model, options) as scorer:
        scores = scorer.submit(pairs)()
    expected = []
    async with running(small_model) as core:
        for query, document in zip(pairs.queries, pairs.documents, strict=True):
            (result,) = await core.rank(query, document, too_long=too_long)
            expected.append(result.logit)
    assert scores.scores.tolist() == expected
    assert not scores.errors


def test_equal_scores_have_the_order_of_their_logits(small_model: Bundle) -> None:
    """The sigmoid of 40 and that of 90 round to 1."""
    with _scorer(small_model, replace(_RAW, score_type=ScoreType.SIGMOID)) as scorer:
        scored = _score(scorer, ("q", "40"), ("q", "90"), ("q", "5"))
    assert scored.scores[0] == scored.scores[1] == 1
    assert scored.order.tolist() == [40, 90, 5]


def test_a_pair_on_which_the_model_fails_fails_alone(small_model: Bundle) -> None:
    """The other pairs of its batch have scores."""
    with _scorer(small_model) as scorer:
        scored = _score(scorer, ("q", "1"), ("q", f"1 {BOOM}"), ("q", "2"), ("q", NAN), ("r", "3"))
    assert scored.errors == {1: "the model failed on the document", 3: "the model returned nan"}
    np.testing.assert_array_equal(scored.scores, [1, np.nan, 2, np.nan, 3])


def test_an_invalid_pair_fails_alone(small_model: Bundle) -> None:
    """A document that is too large, and a document that may not be cut."""
    options = replace(_RAW, too_long=TooLong.REFUSE)
    with _scorer(small_model, options, max_chars=90) as scorer:
        scored = _score(scorer, ("q", "1"), ("q", "x" * 91), ("q", "5 " * 40), ("q", "4"))
    assert scored.errors[1] == "the document has 91 characters; the maximum is 90: send a shorter text"
    assert scored.errors[2].startswith("the document is too long")
    np.testing.assert_array_equal(scored.scores, [1, np.nan, np.nan, 4])


def test_a_query_that_is_too_large_fails_alone(small_model: Bundle) -> None:
    """By the limit of the server."""
    limit = request_limits().max_query_chars
    with _scorer(small_model) as scorer:
        scored = _score(scorer, ("q" * (limit + 1), "1"), ("q", "2"))
    assert scored.errors[0].startswith(f"query has {limit + 1:,} characters")
    np.testing.assert_array_equal(scored.scores, [np.nan, 2])


def test_score_types(small_model: Bundle) -> None:
    """A type that the model does not have is an error before any work."""
    with _scorer(small_model, replace(_RAW, score_type=ScoreType.SIGMOID)) as scorer:
        assert _score(scorer, ("q", "0"), ("q", "1")).scores == pytest.approx([0.5, 0.7310586])
    with (
        pytest.raises(InvalidRequest, match="this model has no calibration"),
        _scorer(small_model, replace(_RAW, score_type=ScoreType.CALIBRATED)),
    ):
        pass


def test_calls_run_at_the_same_time_and_return_their_own_scores(small_model: Bundle) -> None:
    """Also a call without pairs."""
    with _scorer(small_model) as scorer:
        calls = [(pairs, scorer.submit(pairs)) for pairs in map(_random_pairs, (30, 0, 7))]
        for pairs, result in calls:
            assert len(result().scores) == len(pairs)


def test_scores_do_not_depend_on_the_number_of_lanes(starter: Bundle) -> None:
    """The batches are the same, so the bits of the scores are, too."""
    pairs = Pairs(["capital of France"] * 60, [f"Paris {'is large ' * (at % 13)}" for at in range(60)])
    scores = []
    for lanes in (1, 2, 2):
        model = build_model(starter, limits=replace(batch_limits(), max_tokens=512), lanes=lanes)
        with BulkScorer(model, request_limits(), _RAW) as scorer:
            scores.append(scorer.submit(pairs)().scores.tobytes())
    assert len(set(scores)) == 1


class _UntilOneIsStopped:
    """An encoder whose batches run until one of them is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.begun: set[CancelToken] = set()
        """Tokens of the batches that began."""
        self.told: set[CancelToken] = set()
        """Tokens of the batches that were told to stop."""
        self._stopped = threading.Event()

    def score(self, batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        """Wait for the end of any batch."""
        self.begun.add(token)
        token.on_cancel(partial(self._stop, token))
        self.started.release()
        self._stopped.wait()
        raise RuntimeError("stopped")

    def _stop(self, token: CancelToken) -> None:
        self.told.add(token)
        self._stopped.set()


def test_an_end_stops_the_batches_of_all_lanes(small_model: Bundle) -> None:
    """Otherwise, it would wait for the batches of the other lanes. A batch that begins later is stopped at once."""
    model, encoder = build_model(small_model, limits=batch_limits(), lanes=2), _UntilOneIsStopped()
    with BulkScorer(replace(model, encoder=cast("CrossEncoder", encoder)), request_limits(), _RAW) as scorer:
        scorer.submit(_random_pairs(300))
        for _ in range(2):
            encoder.started.acquire()
    assert len(encoder.told) >= 2
    assert encoder.told == encoder.begun


def test_small_model_is_the_sum_of_the_numbers(small_model: Bundle) -> None:
    """The scores of the other tests of the batch command rely on it."""
    with _scorer(small_model) as scorer:
        assert _score(scorer, ("7", "1 2 3")).scores.tolist() == [logit("1 2 3")]


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "panics"])
def test_a_text_on_which_the_tokenizer_fails_is_an_error_of_its_row(small_model: Bundle, raises: bool) -> None:
    """The other rows are scored. A query on which it fails is an error of all its rows."""

    class Fails:
        def __init__(self, tokenizer: Any) -> None:
            self._tokenizer = tokenizer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tokenizer, name)

        def encode_batch_fast(self, texts: Sequence[str], **options: Any) -> Any:
            if any("99" in text for text in texts):
                self._fail()
            return self._tokenizer.encode_batch_fast(texts, **options)

        def _fail(self) -> None:
            if raises:
                raise ValueError("a bug")
            Tokenizer.from_str(PANICKING)

    model = build_model(small_model, limits=batch_limits(), lanes=1)
    model.tokenizer._tokenizer = Fails(model.tokenizer._tokenizer)  # type: ignore[assignment]
    with BulkScorer(model, request_limits(), _RAW) as scorer:
        found = _score(scorer, ("0", "1"), ("0", "99"), ("1", "5 5"))
    assert found.scores[[0, 2]].tolist() == [1.0, 10.0]
    assert list(found.errors) == [1]
    assert found.errors[1].startswith("the tokenizer failed on the text: a ")
