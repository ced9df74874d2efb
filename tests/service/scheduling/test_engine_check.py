"""An engine that fails on every pair, such as one whose GPU is lost, and pairs on which a working engine fails."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.errors import NotReady, OutOfMemory
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import BatchCancelled, BatchRunner, BatchScored, Outcome, PairFailed, Score
from rerank_service.scheduling.batching import Batch, EncodedPair, KeyedPair, Segment
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.engine_check import CheckedRunner
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.submission import Submission, WaitingPair
from support.limits import batch_limits

_LIMITS = batch_limits(length_multiple=1)
_EMPTY = Segment(np.array([], np.int64), np.array([], np.int64))
_BAD = 666
_NAN = 777
_LOST = "CUDA failure 700: an illegal memory access was encountered"


def _pair(token: int, length: int = 7) -> EncodedPair:
    return EncodedPair(_EMPTY, np.full(length, token, np.int64), _EMPTY, document_type=1)


_SHORT = _pair(1, length=2)


class _Engine:
    """An engine that fails on bad pairs, and has no number for others."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        """The first token of each pair, by batch."""

    def __call__(self, batch: Batch, _: CancelToken) -> NDArray[np.float32]:
        tokens = batch.input_ids[:, 0]
        self.batches.append(tokens.tolist())
        if _BAD in tokens:
            raise ValueError("bad pair")
        return np.where(tokens == _NAN, np.nan, tokens).astype(np.float32)


def _lost(_batch: Batch, _token: CancelToken) -> NDArray[np.float32]:
    raise RuntimeError(_LOST)


def _without_numbers(batch: Batch, _token: CancelToken) -> NDArray[np.float32]:
    return np.full(batch.rows, np.nan, np.float32)


def _without_memory(_batch: Batch, _token: CancelToken) -> NDArray[np.float32]:
    raise OutOfMemory("there is no memory")


def _run(score: Score, *tokens: int) -> Sequence[Outcome]:
    """Run a batch of pairs that consist of these tokens."""
    runner = CheckedRunner(BatchRunner(score, _LIMITS, pad_id=0, clock=lambda: 0.0), _SHORT)
    owner = Submission(lambda _owner, _pairs: None, lambda: 0.0, 0)
    return list(
        runner.run([WaitingPair(owner, at, _pair(token), None) for at, token in enumerate(tokens)], CancelToken())
    )


@pytest.mark.parametrize(
    ("score", "why"), [(_lost, _LOST), (_without_numbers, "it returns scores that are no numbers")]
)
async def test_an_engine_that_fails_on_every_pair_ends_its_scheduler(score: Score, why: str) -> None:
    """Its callers get UNAVAILABLE, so they ask another replica. INTERNAL would be for good."""
    options: dict[str, Any] = {"pad_id": 0, "lanes": 1, "cost": CostModel(), "scores": None}
    scheduler = Scheduler(score, _LIMITS, **options, short=_SHORT, model="docs")
    running = asyncio.create_task(scheduler.run())
    with scheduler.submission(room=9, priority=0, weight=1.0) as submission:
        await submission.add([KeyedPair(index, _pair(5), b"") for index in range(3)])
        with pytest.raises(NotReady):
            await anext(submission)
    with pytest.raises(NothingScored, match=f"^model 'docs' does not score a short pair either: {why}"):
        await running


def test_bad_pairs_fail_alone_and_cost_one_short_pair() -> None:
    """The engine works, so it goes on."""
    engine = _Engine()
    outcomes = _run(engine, _BAD, _BAD)
    assert [type(outcome) for outcome in outcomes] == [PairFailed, PairFailed]
    assert engine.batches == [[_BAD, _BAD], [_BAD], [_BAD], [1]]


def test_a_batch_without_any_number_is_delivered_if_the_engine_works() -> None:
    """The owners of its pairs see that their scores are no numbers."""
    engine = _Engine()
    (outcome,) = _run(engine, _NAN, _NAN)
    assert isinstance(outcome, BatchScored)
    assert all(map(math.isnan, outcome.logits))
    assert engine.batches == [[_NAN, _NAN], [1]]


def test_a_batch_with_a_score_needs_no_check() -> None:
    """It shows that the engine works."""
    for bad in (_BAD, _NAN):
        engine = _Engine()
        _run(engine, bad, 5, 5)
        assert [1] not in engine.batches


def test_a_lack_of_memory_does_not_end_the_server() -> None:
    """It may pass, and a short pair needs some memory, too."""
    outcomes = _run(_without_memory, 5)
    assert [type(outcome) for outcome in outcomes] == [PairFailed]


def test_a_check_without_memory_does_not_end_the_server() -> None:
    """The batch before it failed for another reason, so the check runs, and memory is short only now."""
    engine = _Engine()

    def score(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        return _without_memory(batch, token) if batch.input_ids[0, 0] == 1 else engine(batch, token)

    outcomes = _run(score, _BAD)
    assert [type(outcome) for outcome in outcomes] == [PairFailed]


def test_a_cancelled_batch_is_not_checked() -> None:
    """Its run was stopped: that is no failure of the engine."""
    runner = CheckedRunner(BatchRunner(_lost, _LIMITS, pad_id=0, clock=lambda: 0.0), _SHORT)
    owner, token = Submission(lambda _owner, _pairs: None, lambda: 0.0, 0), CancelToken()
    token.cancel()
    outcomes = list(runner.run([WaitingPair(owner, 0, _pair(5), None)], token))
    assert [type(outcome) for outcome in outcomes] == [BatchCancelled]
