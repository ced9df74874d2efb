"""Admission per model: requests of one model never count against another."""

import asyncio
import math
from contextlib import ExitStack

import pytest

from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.deadline import Deadline


def admissions(documents: int = 10, tokens: float = 1_000.0) -> Admissions:
    """Return admissions at time 0."""
    return Admissions(LiveLimits(documents, tokens), lambda: 0.0)


def admit(
    admission: Admission,
    stack: ExitStack,
    *,
    documents: int = 1,
    tokens: float = 100.0,
    seconds: float = math.inf,
    part: float = 1.0,
) -> None:
    """Accept a request until the stack is closed. All lanes compute 100 tokens per second."""
    stack.enter_context(admission.admit(documents, tokens, Deadline(seconds), 100.0, 1.0, part))


def test_a_full_model_does_not_reject_requests_of_another() -> None:
    """Both limits are limits of each model."""
    both = admissions()
    with ExitStack() as stack:
        admit(both.of("a"), stack, documents=10, tokens=900.0)
        with pytest.raises(Overloaded, match="ranking 10 documents"):
            admit(both.of("a"), stack)
        admit(both.of("b"), stack, documents=10, tokens=900.0)
        assert (both.live_requests, both.backlog_seconds) == (2, 18.0)
        assert both.of("a").backlog_seconds == 9.0
    assert both.live_requests == 0


def test_a_model_may_have_limits_of_its_own() -> None:
    """They hold for new requests, before and after its first one."""
    both = admissions()
    both.set_limits("a", LiveLimits(1, 1e9))
    with ExitStack() as stack:
        admit(both.of("a"), stack)
        with pytest.raises(Overloaded, match="at most 1"):
            admit(both.of("a"), stack)
        both.set_limits("a", LiveLimits(2, 1e9))
        admit(both.of("a"), stack)
        with pytest.raises(Overloaded, match="at most 2"):
            admit(both.of("a"), stack)


async def test_draining_closes_all_models() -> None:
    """Also those that are loaded later. It waits for the requests of each."""
    both = admissions()
    with ExitStack() as stack:
        admit(both.of("a"), stack)
        with ExitStack() as other:
            admit(both.of("b"), other)
            both.close()
            for name in ("a", "b", "new"):
                with pytest.raises(NotReady, match="draining"):
                    admit(both.of(name), stack)
            drained = asyncio.create_task(both.drained())
            await asyncio.sleep(0)
        assert not drained.done()
    await drained


async def test_one_model_closes_alone() -> None:
    """An unloaded model rejects requests with its own reason. Loaded again, it starts anew."""
    both = admissions()
    both.of("a").close("model 'a' is unloading: retry later")
    with ExitStack() as stack:
        with pytest.raises(NotReady, match="unloading"):
            admit(both.of("a"), stack)
        admit(both.of("b"), stack)
        await both.of("a").drained()
        both.remove("a")
        admit(both.of("a"), stack)


def test_the_forecast_counts_on_the_part_of_the_lanes() -> None:
    """A request that would be late only because other models use the lanes may be retried."""
    admission = admissions(1_000, 1e9).of("a")
    with ExitStack() as stack:
        admit(admission, stack, tokens=100.0, seconds=10.0, part=0.5)
        admit(admission, stack, tokens=100.0, seconds=10.0, part=0.5)  # both take 4 s
        with pytest.raises(Overloaded, match="miss its deadline"):
            admit(admission, stack, tokens=200.0, seconds=10.0, part=0.5)  # 8 s, of which 7 s may be planned
        admit(admission, stack, tokens=200.0, seconds=10.0, part=1.0)
        with pytest.raises(DeadlineExceeded, match="even on its own"):
            admit(admission, stack, tokens=2_000.0, seconds=10.0, part=0.5)
        assert admission.backlog_seconds == 4.0  # in seconds of all lanes


def test_the_first_request_of_a_model_is_rejected_only_if_it_is_far_too_large() -> None:
    """The forecast may be wrong, and it improves only with batches that run."""
    admission = admissions().of("a")
    with ExitStack() as stack:
        with pytest.raises(Overloaded):
            admit(admission, stack, tokens=300.0, seconds=1.0, part=0.5)
        admit(admission, stack, tokens=300.0, seconds=1.0, part=0.8)
