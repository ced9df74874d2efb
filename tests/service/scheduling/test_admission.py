"""Admission control: capacity, deadlines, draining."""

import asyncio
import math
from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded
from rerank_service.scheduling import forecast
from rerank_service.scheduling.admission import IDLE_FACTOR, RETRY_AFTER, Admission
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.forecast import LiveWork

SPEED = 1000.0


class _Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _admission(*, documents: int = 100, tokens: float = math.inf, clock: _Clock | None = None) -> Admission:
    return Admission(documents, tokens, clock or _Clock())


def test_capacity_is_released_at_the_end_of_a_request() -> None:
    """The same holds for a request that fails."""
    admission = _admission()
    with pytest.raises(ZeroDivisionError), admission.admit(7, 1, Deadline(60), SPEED, 1.0):
        assert (admission.live_documents, admission.live_requests) == (7, 1)
        raise ZeroDivisionError
    assert (admission.live_documents, admission.live_requests) == (0, 0)


def test_backlog_is_the_time_of_all_live_requests() -> None:
    """In seconds, at the speed that each request was admitted with."""
    admission = _admission()
    assert admission.backlog_seconds == 0
    with admission.admit(1, 500, Deadline(60), SPEED, 1.0) as ticket, admission.admit(1, 250, Deadline(60), SPEED, 1.0):
        assert admission.backlog_seconds == 0.75
        ticket.reduce(400)
        assert admission.backlog_seconds == 0.35


def test_live_documents_and_tokens_are_limited() -> None:
    """A request without others is accepted whatever its size."""
    for admission in (_admission(documents=10), _admission(tokens=10)):
        with admission.admit(50, 50, Deadline(60), SPEED, 1.0):
            with pytest.raises(Overloaded) as caught, admission.admit(1, 1, Deadline(60), SPEED, 1.0):
                pass
            assert caught.value.retry_after >= RETRY_AFTER


def test_new_limits_hold_for_new_requests() -> None:
    """Requests that are accepted already stay, even above the new limits."""
    admission = _admission(documents=10)
    with admission.admit(10, 1, Deadline(60), SPEED, 1.0):
        admission.set_limits(5, math.inf)
        with pytest.raises(Overloaded, match="at most 5"), admission.admit(1, 1, Deadline(60), SPEED, 1.0):
            pass
        admission.set_limits(100, 10)
        with pytest.raises(Overloaded, match="at most 10"), admission.admit(1, 10, Deadline(60), SPEED, 1.0):
            pass
        assert admission.live_documents == 10


def test_late_request_is_rejected_and_carries_the_retry_time() -> None:
    """Admission plans with 7 s of 10 s: three requests of 2 s fit, four do not. A small request still fits."""
    admission = _admission()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.admit(1, 2000, Deadline(10), SPEED, 1.0))
        with pytest.raises(Overloaded, match="deadline") as caught:
            stack.enter_context(admission.admit(1, 2000, Deadline(10), SPEED, 1.0))
        assert caught.value.retry_after == pytest.approx(max(RETRY_AFTER, 1.0))
        stack.enter_context(admission.admit(1, 50, Deadline(10), SPEED, 1.0))


def test_far_deadlines_need_no_forecast_of_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """All work ends before the first of them. With thousands of live requests, forecasts would take a millisecond."""
    forecasts: list[int] = []
    ahead_and_behind = forecast._ahead_and_behind

    def noted(live: LiveWork) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        forecasts.append(len(live.tokens))
        return ahead_and_behind(live)

    monkeypatch.setattr(forecast, "_ahead_and_behind", noted)
    admission = _admission()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.admit(1, 1000, Deadline(10), SPEED, 1.0))
        assert forecasts == []
        stack.enter_context(admission.admit(1, 500, Deadline(3), SPEED, 1.0))
        assert forecasts == [3]


def test_urgent_request_does_not_wait_for_ordinary_ones() -> None:
    """It is computed first, whatever waits. An ordinary one of that size would be late."""
    admission = _admission(documents=1_000)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(admission.admit(10, 20_000, Deadline(300), 4 * SPEED, 1.0))
        with pytest.raises(Overloaded):
            stack.enter_context(admission.admit(10, 2_000, Deadline(5), 4 * SPEED, 1.0))
        ticket = stack.enter_context(admission.admit(10, 2_000, Deadline(5), 4 * SPEED, 1.0, priority=-1))
        assert ticket.forecast == pytest.approx(8 / 7 * 0.5)


def test_urgent_request_does_not_make_accepted_ones_late() -> None:
    """They would wait for all its tokens. A less urgent one of that size does not delay them much, and neither does a
    small urgent one, which may use the time that is kept for it."""
    admission = _admission()
    with ExitStack() as stack:
        stack.enter_context(admission.admit(10, 3_000, Deadline(5), SPEED, 1.0))
        with pytest.raises(Overloaded, match="an accepted one would miss its deadline"):
            stack.enter_context(admission.admit(10, 20_000, Deadline(300), SPEED, 1.0, priority=-1))
        stack.enter_context(admission.admit(10, 20_000, Deadline(300), SPEED, 1.0, priority=1))
        stack.enter_context(admission.admit(1, 900, Deadline(5), SPEED, 1.0, priority=-1))
        with pytest.raises(Overloaded):
            stack.enter_context(admission.admit(1, 100, Deadline(5), SPEED, 1.0))


def test_request_without_a_deadline_is_not_protected() -> None:
    """A request with a cutoff has no deadline here. Its tokens still count when another request must meet its own
    deadline."""
    for due, refused in ((Deadline(10), True), (Deadline(math.inf), False)):
        admission = _admission()
        with ExitStack() as stack:
            stream = stack.enter_context(admission.admit(0, 0, due, SPEED, 1.0))
            stream.reduce(-7000)
            with pytest.raises(Overloaded) if refused else nullcontext():
                stack.enter_context(admission.admit(1, 4000, Deadline(60), SPEED, 1.0))
            with pytest.raises(Overloaded):
                stack.enter_context(admission.admit(1, 4000, Deadline(6), SPEED, 1.0))


def test_stream_that_needs_most_of_its_time_does_not_block_others() -> None:
    """Nobody forecast it, and its tokens stay: the next documents arrive as soon as there is room. A request of a few
    documents is accepted at each second of it; in a band, all were rejected."""
    clock = _Clock()
    admission = _admission(clock=clock)
    with admission.admit(0, 0, Deadline(60), 8 * SPEED, 1.0) as stream:
        stream.reduce(-409_600)
        for second in range(60):
            clock.now = second
            with admission.admit(1, 100, Deadline(second + 30), 8 * SPEED, 1.0):
                pass


def test_computed_tokens_free_capacity() -> None:
    """Tokens that were computed no longer delay new requests."""
    clock = _Clock()
    admission = _admission(clock=clock)
    with admission.admit(1, 8000, Deadline(10), SPEED, 1.0) as ticket:
        clock.now = 4.0
        with pytest.raises(Overloaded), admission.admit(1, 3000, Deadline(10), SPEED, 1.0):
            pass
        ticket.reduce(7000)
        with admission.admit(1, 3000, Deadline(10), SPEED, 1.0):
            pass


def test_idle_server_rejects_only_hopeless_requests() -> None:
    """The forecast may be wrong, and only batches that run can correct it."""
    admission = _admission()
    with admission.admit(1, IDLE_FACTOR * 0.99 * 1000, Deadline(1), SPEED, 1.0):
        pass
    with pytest.raises(DeadlineExceeded), admission.admit(1, IDLE_FACTOR * 1.01 * 1000, Deadline(1), SPEED, 1.0):
        pass


def test_server_is_idle_beside_a_stream_without_documents() -> None:
    """Until the stream has work. A client may hold one open for minutes."""
    admission, tokens = _admission(documents=10, tokens=100), IDLE_FACTOR * 0.99 * 1000
    with admission.admit(0, 0, Deadline(60), SPEED, 1.0) as stream:
        with admission.admit(50, tokens, Deadline(1), SPEED, 1.0):
            pass
        stream.reduce(-1)
        with pytest.raises(DeadlineExceeded), admission.admit(1, 99, Deadline(0.03), SPEED, 1.0):
            pass
        stream.reduce(1)
        with admission.admit(1, 99, Deadline(0.03), SPEED, 1.0):
            pass


def test_server_is_not_idle_beside_a_request_that_needed_less_than_estimated() -> None:
    """No tokens are left of the estimate, but its documents are still ranked."""
    admission = _admission(documents=10)
    with admission.admit(10, 5, Deadline(60), SPEED, 1.0) as ticket:
        ticket.reduce(5)
        with pytest.raises(Overloaded), admission.admit(1, 1, Deadline(60), SPEED, 1.0):
            pass


async def test_draining_rejects_new_requests_and_waits_for_live_ones() -> None:
    """`drained` returns after the last live request."""
    admission = _admission()
    with admission.admit(1, 1, Deadline(60), SPEED, 1.0):
        admission.close()
        with pytest.raises(NotReady), admission.admit(1, 1, Deadline(60), SPEED, 1.0):
            pass
        drained = asyncio.create_task(admission.drained())
        await asyncio.sleep(0)
        assert not drained.done()
    await drained
