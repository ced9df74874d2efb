"""When a request that waits for its pairs goes on. Covers submission, beside `test_scheduler.py`."""

import asyncio

import numpy as np
import pytest

from rerank_service.scheduling.batching import EncodedPair, KeyedPair, Segment
from rerank_service.scheduling.submission import Scored, Submission, feeding

_EMPTY = Segment(np.array([], np.int64), np.array([], np.int64))
_PAIR = EncodedPair(_EMPTY, np.ones(3, np.int64), _EMPTY, document_type=1)
_SCORED = Scored(indexes=[0], windows=[0], logits=[1.0], started=0.0, ended=1.0)


def _submission() -> Submission:
    return Submission(lambda *_: None, lambda: 0.0, room=9)


async def test_the_end_of_the_feed_does_not_wake_a_request_whose_pairs_wait() -> None:
    """It would find nothing to do. The last logits wake it."""
    submission = _submission()
    await submission.add([KeyedPair(0, _PAIR, b"")])
    step = submission.__anext__()
    waits = step.send(None)
    submission.finish()
    assert not waits.done()
    submission.deliver(_SCORED)
    assert waits.done()
    with pytest.raises(StopIteration) as returned:
        step.send(None)
    assert returned.value.value is _SCORED
    assert [part async for part in submission] == []


async def test_the_end_of_the_feed_wakes_a_request_whose_pairs_are_scored() -> None:
    """Nothing else would."""
    submission = _submission()
    submission.add_known([0], [1.0])
    await anext(submission)
    step = submission.__anext__()
    waits = step.send(None)
    submission.finish()
    assert waits.done()
    with pytest.raises(StopAsyncIteration):
        step.send(None)


async def test_the_end_of_the_block_waits_for_a_running_feed_only() -> None:
    """A wait takes two turns of the event loop, also for a feed that has ended."""
    submission, ended = _submission(), asyncio.Event()

    async def nothing(_: Submission) -> None:
        pass

    async def endless(_: Submission) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    block = feeding(nothing, submission)
    await block.__aenter__()
    assert [part async for part in submission] == []
    with pytest.raises(StopIteration):
        block.__aexit__(None, None, None).send(None)  # it does not wait

    async with feeding(endless, _submission()):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_a_block_that_ends_at_once_never_begins_the_feed() -> None:
    """A coroutine that is made and not awaited would be a warning in the log."""
    submission, begun = _submission(), list[bool]()

    async def feed(_: Submission) -> None:
        begun.append(True)

    submission.end_early()
    async with feeding(feed, submission):
        assert [part async for part in submission] == []
    assert not begun


async def test_parts_after_the_end_of_the_iteration_are_not_lost() -> None:
    """They ran for the request, which pays for them."""
    submission, after_end = _submission(), list[Scored]()
    submission.deliver(_SCORED)
    submission.end_early()
    submission.deliver(_SCORED)
    assert [part async for part in submission] == [_SCORED]
    assert submission.end(after_end.append) == [_SCORED]
    submission.deliver(_SCORED)
    assert after_end == [_SCORED]
