"""When requests are finished that share the lanes, and whom a newcomer would make late."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.forecast import RemainingWork, deadline_overrun, finish_times

SPEED = 1000.0
LOADS = st.lists(
    st.builds(RemainingWork, tokens=st.integers(0, 5000).map(float), seconds_left=st.floats(0, 20)),
    min_size=1,
    max_size=8,
)


def test_equal_shares_by_hand() -> None:
    """1,000 and 3,000 tokens at 1,000 a second: both get half for two seconds, then the second has all of it."""
    assert finish_times([RemainingWork(3000, 0), RemainingWork(1000, 0)], SPEED) == [4.0, 2.0]


def test_shares_by_weight_by_hand() -> None:
    """3,000 tokens of weight 3 beside 3,000 of weight 1: three quarters for four seconds, then the other alone."""
    assert finish_times([RemainingWork(3000, 0, weight=3), RemainingWork(3000, 0)], SPEED) == [4.0, 6.0]


@given(LOADS)
def test_it_is_what_turns_of_one_token_give(loads: list[RemainingWork]) -> None:
    """The reference gives each request that is left a small slice in turn."""
    left = [load.tokens for load in loads]
    done = [0.0] * len(loads)
    clock, slice_ = 0.0, 25.0
    while any(left):
        for at in range(len(loads)):
            if left[at]:
                given_ = min(slice_, left[at])
                clock += given_ / SPEED
                left[at] -= given_
                done[at] = clock
    assert finish_times(loads, SPEED) == pytest.approx(done, abs=2 * len(loads) * slice_ / SPEED)


@given(LOADS)
def test_the_last_is_done_when_all_work_is(loads: list[RemainingWork]) -> None:
    """Sharing neither adds work nor takes it away, and nobody is done before its own work is."""
    done = finish_times(loads, SPEED)
    assert max(done) == pytest.approx(sum(load.tokens for load in loads) / SPEED)
    assert all(time >= load.tokens / SPEED - 1e-9 for time, load in zip(done, loads, strict=True))


def test_a_newcomer_that_fits_makes_nobody_late() -> None:
    """Small beside large: each is done in time."""
    assert deadline_overrun([RemainingWork(10_000, 60)], RemainingWork(100, 1), SPEED, 1.0) == 0


def test_a_newcomer_that_cannot_be_done_is_late_itself() -> None:
    """Two seconds of work in one second."""
    assert deadline_overrun([], RemainingWork(2000, 1), SPEED, 1.0) == pytest.approx(1.0)


def test_a_newcomer_that_makes_another_late_is_refused_for_it() -> None:
    """The other had ten seconds for ten seconds of work."""
    assert deadline_overrun([RemainingWork(10_000, 10)], RemainingWork(1000, math.inf), SPEED, 1.0) == pytest.approx(
        1.0
    )


def test_who_is_late_anyway_refuses_nobody() -> None:
    """Its deadline is lost with the newcomer or without."""
    assert deadline_overrun([RemainingWork(10_000, 5)], RemainingWork(1000, 60), SPEED, 1.0) == 0


def test_some_of_the_time_is_kept_back() -> None:
    """Forecasts err; who is forecast to be in time, but not by much, is not delayed further."""
    assert deadline_overrun([], RemainingWork(2000, 3), SPEED, 0.5) == pytest.approx(0.5)
    tight = RemainingWork(9_000, 10)
    assert deadline_overrun([tight], RemainingWork(500, math.inf), SPEED, 0.5) == pytest.approx(9.5 - 5)
    assert (
        deadline_overrun([RemainingWork(100, 0.15), tight], RemainingWork(500, math.inf, weight=0.01), SPEED, 1.0) == 0
    )
