"""Who is let in: room, time, the door."""

import asyncio
import math
from contextlib import ExitStack, nullcontext

import pytest

from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded
from rerank_service.scheduling.admission import IDLE_FACTOR, RETRY_AFTER, Admission
from rerank_service.scheduling.deadline import Deadline

SPEED = 1000.0


class _Clock:
    """Time that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _admission(*, documents: int = 100, tokens: float = math.inf, clock: _Clock | None = None) -> Admission:
    return Admission(documents, tokens, clock or _Clock())


def test_room_is_given_back() -> None:
    """Also when the request fails."""
    admission = _admission()
    with pytest.raises(ZeroDivisionError), admission.admit(7, 1, Deadline(60), SPEED):
        assert (admission.live_documents, admission.live_requests) == (7, 1)
        raise ZeroDivisionError
    assert (admission.live_documents, admission.live_requests) == (0, 0)


def test_documents_and_tokens_are_bounded() -> None:
    """Except for who is alone."""
    for admission in (_admission(documents=10), _admission(tokens=10)):
        with admission.admit(50, 50, Deadline(60), SPEED):
            with pytest.raises(Overloaded) as caught, admission.admit(1, 1, Deadline(60), SPEED):
                pass
            assert caught.value.retry_after >= RETRY_AFTER


def test_a_request_that_cannot_be_done_in_time_is_refused_with_the_time_that_is_missing() -> None:
    """Three requests of two seconds fit in seven of their ten, not four; small ones still do."""
    admission = _admission()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.admit(1, 2000, Deadline(10), SPEED))
        with pytest.raises(Overloaded, match="deadline") as caught:
            stack.enter_context(admission.admit(1, 2000, Deadline(10), SPEED))
        assert caught.value.retry_after == pytest.approx(max(RETRY_AFTER, 1.0))
        stack.enter_context(admission.admit(1, 50, Deadline(10), SPEED))


def test_nobody_is_refused_for_the_sake_of_who_cannot_be_late() -> None:
    """A request that takes a part of its ranking has no deadline here; its tokens are in the way of others' all the
    same."""
    for due, refused in ((Deadline(10), True), (Deadline(math.inf), False)):
        admission = _admission()
        with ExitStack() as stack:
            stream = stack.enter_context(admission.admit(0, 0, due, SPEED))
            stream.reduce(-7000)
            with pytest.raises(Overloaded) if refused else nullcontext():
                stack.enter_context(admission.admit(1, 4000, Deadline(60), SPEED))
            with pytest.raises(Overloaded):
                stack.enter_context(admission.admit(1, 4000, Deadline(6), SPEED))


def test_progress_makes_room() -> None:
    """What was computed is no longer in the way."""
    clock = _Clock()
    admission = _admission(clock=clock)
    with admission.admit(1, 8000, Deadline(10), SPEED) as ticket:
        clock.now = 4.0
        with pytest.raises(Overloaded), admission.admit(1, 3000, Deadline(10), SPEED):
            pass
        ticket.reduce(7000)
        with admission.admit(1, 3000, Deadline(10), SPEED):
            pass


def test_a_forecast_keeps_nobody_out_of_an_idle_server_unless_it_is_hopeless() -> None:
    """It may be wrong, and only batches that run can teach it better."""
    admission = _admission()
    with admission.admit(1, IDLE_FACTOR * 0.99 * 1000, Deadline(1), SPEED):
        pass
    with pytest.raises(DeadlineExceeded), admission.admit(1, IDLE_FACTOR * 1.01 * 1000, Deadline(1), SPEED):
        pass


async def test_a_closed_door_lets_nobody_in_and_waits_for_who_is_inside() -> None:
    """That is a drain."""
    admission = _admission()
    with admission.admit(1, 1, Deadline(60), SPEED):
        admission.close()
        with pytest.raises(NotReady), admission.admit(1, 1, Deadline(60), SPEED):
            pass
        drained = asyncio.create_task(admission.drained())
        await asyncio.sleep(0)
        assert not drained.done()
    await drained
