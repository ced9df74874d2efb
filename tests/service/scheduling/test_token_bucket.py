"""Token bucket: the mean rate, exact waiting times, debt and changes of its size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.token_bucket import TokenBucket

RATES = st.floats(0.01, 1e6)
CAPACITIES = st.floats(1, 1e6)
STEPS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=50)
"""Pauses in seconds, and the share of the capacity that the next request takes."""


@given(RATES, CAPACITIES, STEPS)
def test_no_more_than_the_rate_is_taken(rate: float, capacity: float, steps: list[tuple[float, float]]) -> None:
    """Requests that wait for their tokens never take more than one full bucket and the refill since the start."""
    bucket, now, taken = TokenBucket(rate, capacity, 0.0), 0.0, 0.0
    for pause, share in steps:
        now += pause
        if not bucket.wait(share * capacity, now):
            bucket.take(share * capacity, now)
            taken += share * capacity
        assert taken <= (capacity + rate * now) * (1 + 1e-6)


@given(RATES, CAPACITIES, STEPS)
def test_the_wait_is_exact(rate: float, capacity: float, steps: list[tuple[float, float]]) -> None:
    """After the wait, the tokens are there. After half of it, they are not."""
    bucket, now = TokenBucket(rate, capacity, 0.0), 0.0
    for pause, share in steps:
        now += pause
        tokens = share * capacity
        if (wait := bucket.wait(tokens, now)) > 1e-6 * (1 + now):
            assert bucket.wait(tokens, now + wait / 2) > 0
            now += wait
            assert bucket.wait(tokens, now) == pytest.approx(0, abs=1e-6)
        bucket.take(tokens, now)


@given(RATES, CAPACITIES, st.floats(0, 10))
def test_tokens_that_are_put_back_are_as_if_not_taken(rate: float, capacity: float, share: float) -> None:
    """But never more than the capacity."""
    bucket = TokenBucket(rate, capacity, 0.0)
    bucket.take(share * capacity, 0.0)
    bucket.put_back(share * capacity, 0.0)
    assert bucket.wait(capacity, 0.0) == 0
    bucket.put_back(capacity, 0.0)
    bucket.take(capacity, 0.0)
    assert bucket.wait(capacity, 0.0) == pytest.approx(capacity / rate)


def test_debt_is_paid_back_first() -> None:
    """At the rate of the bucket."""
    bucket = TokenBucket(rate=2.0, capacity=10.0, now=0.0)
    bucket.take(16.0, 0.0)
    assert bucket.wait(0.0, 0.0) == 3.0
    assert bucket.wait(4.0, 1.0) == 4.0
    assert bucket.wait(4.0, 5.0) == 0.0


@given(RATES, CAPACITIES, CAPACITIES)
def test_a_change_of_the_size_gives_no_tokens(rate: float, capacity: float, changed: float) -> None:
    """An empty bucket stays empty, a full one becomes no fuller than it was."""
    empty, full = TokenBucket(rate, capacity, 0.0), TokenBucket(rate, capacity, 0.0)
    empty.take(capacity, 0.0)
    for bucket in (empty, full):
        bucket.resize(rate, changed, 0.0)
        assert bucket.capacity == changed
    assert empty.wait(changed, 0.0) == pytest.approx(changed / rate)
    assert full.wait(min(capacity, changed), 0.0) == 0
    assert (full.wait(changed, 0.0) > 0) is (changed > capacity * (1 + 1e-9) and not math.isclose(changed, capacity))


def test_a_clock_that_goes_back_changes_nothing() -> None:
    """Two clocks may differ by a moment."""
    bucket = TokenBucket(rate=1.0, capacity=1.0, now=10.0)
    bucket.take(1.0, 10.0)
    assert bucket.wait(1.0, 9.0) == 1.0
    assert bucket.wait(1.0, 10.5) == 0.5
