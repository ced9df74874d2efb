"""The forecast of finish times, and the requests that a new one would make late."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.forecast import (
    LiveWork,
    RemainingWork,
    deadline_overrun,
    finish_time,
    finish_times,
    overrun_alone,
)
from support.simple_forecast import simple_deadline_overrun, simple_finish_times

SPEED = 1000.0
LOADS = st.lists(
    st.builds(RemainingWork, tokens=st.integers(0, 5000).map(float), seconds_left=st.floats(0, 20)),
    min_size=1,
    max_size=8,
)


def test_equal_weights_share_equally() -> None:
    """1,000 and 3,000 tokens at 1,000 tokens/s: both get half for 2 s, then the second gets all."""
    assert finish_times(LiveWork.of([RemainingWork(3000, 0), RemainingWork(1000, 0)]), SPEED).tolist() == [4.0, 2.0]


def test_weights_divide_the_speed() -> None:
    """3,000 tokens of weight 3 beside 3,000 of weight 1: three quarters for 4 s, then the other one alone."""
    assert finish_times(LiveWork.of([RemainingWork(3000, 0, weight=3), RemainingWork(3000, 0)]), SPEED).tolist() == [
        4.0,
        6.0,
    ]


@given(LOADS)
def test_forecast_matches_round_robin(loads: list[RemainingWork]) -> None:
    """The reference gives each unfinished request a small slice in turn."""
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
    assert finish_times(LiveWork.of(loads), SPEED) == pytest.approx(done, abs=2 * len(loads) * slice_ / SPEED)


@given(LOADS)
def test_last_request_finishes_with_all_work(loads: list[RemainingWork]) -> None:
    """Sharing neither adds nor removes work, and no request finishes before its own work is done."""
    done = finish_times(LiveWork.of(loads), SPEED)
    assert max(done) == pytest.approx(sum(load.tokens for load in loads) / SPEED)
    assert all(time >= load.tokens / SPEED - 1e-9 for time, load in zip(done, loads, strict=True))


def test_small_request_beside_a_large_one_is_in_time() -> None:
    """Both meet their deadlines."""
    assert deadline_overrun(LiveWork.of([RemainingWork(10_000, 60)]), RemainingWork(100, 1), SPEED, 1.0, 1.0) == 0


def test_new_request_with_too_much_work_is_late() -> None:
    """It has 2 s of work and 1 s of time."""
    assert deadline_overrun(LiveWork.of([]), RemainingWork(2000, 1), SPEED, 1.0, 1.0) == pytest.approx(1.0)


def test_new_request_may_make_a_live_one_late() -> None:
    """The live request has 10 s of work and 10 s of time."""
    assert deadline_overrun(
        LiveWork.of([RemainingWork(10_000, 10)]), RemainingWork(1000, math.inf), SPEED, 1.0, 1.0
    ) == pytest.approx(1.0)


def test_live_request_that_is_late_anyway_does_not_count() -> None:
    """It misses its deadline with the new request or without it."""
    assert deadline_overrun(LiveWork.of([RemainingWork(10_000, 5)]), RemainingWork(1000, 60), SPEED, 1.0, 1.0) == 0


def test_only_a_share_of_the_remaining_time_is_planned() -> None:
    """A live request that would use more than the share is not delayed further."""
    assert deadline_overrun(LiveWork.of([]), RemainingWork(2000, 3), SPEED, 0.5, 0.5) == pytest.approx(0.5)
    close = RemainingWork(9_000, 10)
    assert deadline_overrun(LiveWork.of([close]), RemainingWork(500, math.inf), SPEED, 0.5, 0.5) == pytest.approx(
        9.5 - 5
    )
    assert (
        deadline_overrun(
            LiveWork.of([RemainingWork(100, 0.15), close]), RemainingWork(500, math.inf, weight=0.01), SPEED, 1.0, 1.0
        )
        == 0
    )


def test_request_of_unknown_size_counts_only_while_it_is_in_time() -> None:
    """Admission never forecast a stream. At 8 s of 10, a sized request is protected, and at 7 s of 10 both are."""
    new = RemainingWork(10, math.inf)
    for tokens, is_sized, late in ((8_000, True, 1.01), (8_000, False, 0.0), (7_000, True, 0.01), (7_000, False, 0.01)):
        live = LiveWork.of([RemainingWork(tokens, 10, is_sized=is_sized)])
        assert deadline_overrun(live, new, SPEED, 0.7, 0.7) == pytest.approx(late)


def test_more_urgent_requests_come_first() -> None:
    """Meanwhile, the less urgent ones get every eighth token: 1,000 of the first 8,000."""
    live = LiveWork.of([RemainingWork(3000, 0, priority=1), RemainingWork(7000, 0), RemainingWork(3000, 0, priority=1)])
    assert finish_times(live, SPEED) == pytest.approx([13.0, 8.0, 13.0])
    for priority, seconds in ((-1, 8 / 7), (0, 16 / 7), (1, 10.0), (2, 14.0)):
        new = RemainingWork(1000, 0, priority=priority)
        assert finish_time(live, new, SPEED) == pytest.approx(seconds)


def test_more_urgent_request_may_use_more_of_the_time_of_others() -> None:
    """Up to 0.9. An equally urgent one would leave them 0.7, and a less urgent one is not delayed by all its tokens."""
    live = LiveWork.of([RemainingWork(7_000, 10)])
    for priority, tokens, late in ((-1, 2_000, 0.0), (-1, 2_500, 0.5), (0, 500, 0.5), (1, 500, 0.5), (1, 90_000, 1.0)):
        new = RemainingWork(tokens, math.inf, priority=priority)
        assert deadline_overrun(live, new, SPEED, 0.7, 0.9) == pytest.approx(late)


WEIGHTED = st.builds(
    RemainingWork,
    tokens=st.integers(0, 5000).map(float),
    seconds_left=st.floats(0, 20) | st.just(math.inf),
    weight=st.sampled_from([0.1, 0.5, 1.0, 3.0]),
    priority=st.sampled_from([-1, 0, 2]),
    is_sized=st.booleans(),
)


@given(
    live=st.lists(WEIGHTED, max_size=12),
    new=WEIGHTED,
    speed=st.sampled_from([SPEED, 30 * SPEED]),
    factors=st.sampled_from([(0.7, 0.9), (4.0, 4.0)]),
)
def test_forecast_is_that_of_the_simple_rule(
    live: list[RemainingWork], new: RemainingWork, speed: float, factors: tuple[float, float]
) -> None:
    """The arrays give what a loop over all requests gives, apart from rounding. At the higher speed, most work ends
    before the first deadline, so that one comparison is enough."""
    arrays = LiveWork.of(live)
    assert finish_times(arrays, speed).tolist() == pytest.approx(simple_finish_times(live, speed))
    assert finish_time(arrays, new, speed) == pytest.approx(simple_finish_times([*live, new], speed)[-1])
    times = zip(simple_finish_times(live, speed), live, strict=True)
    limits = [(time, share * request.seconds_left) for time, request in times for share in (1.0, *factors)]
    if all(abs(time - limit) > 1e-9 for time, limit in limits):  # else rounding decides who is late
        expected = simple_deadline_overrun(live, new, speed, *factors)
        assert deadline_overrun(arrays, new, speed, *factors) == pytest.approx(expected, abs=1e-9)
    assert overrun_alone(new, speed, factors[0]) == deadline_overrun(LiveWork.of([]), new, speed, *factors)
