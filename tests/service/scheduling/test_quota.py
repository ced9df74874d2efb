"""The limits of a key: requests per second, tokens per minute, concurrent requests."""

import asyncio
from contextlib import ExitStack

import pytest

from rerank_service.errors import RateLimited, TooLarge
from rerank_service.scheduling.quota import KeyLimits, Quota


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def _request(quota: Quota) -> None:
    with quota.request():
        pass


def test_without_limits_everything_is_accepted() -> None:
    """Any number of requests and tokens."""
    quota = Quota()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(quota.request())
            stack.enter_context(quota.charge(1e9))


def test_requests_per_second(clock: Clock) -> None:
    """A burst of one second, then the mean rate. The error has the seconds until a retry."""
    quota = Quota(KeyLimits(requests_per_second=4), clock)
    for _ in range(4):
        _request(quota)
    with pytest.raises(RateLimited, match=r"may send 4 requests per second: retry after 250 ms") as caught:
        _request(quota)
    assert caught.value.retry_after == 0.25
    clock.now += 0.25
    _request(quota)
    with pytest.raises(RateLimited):
        _request(quota)


def test_less_than_one_request_per_second(clock: Clock) -> None:
    """The first request is accepted, the next one after the time of one."""
    quota = Quota(KeyLimits(requests_per_second=0.1), clock)
    _request(quota)
    with pytest.raises(RateLimited) as caught:
        _request(quota)
    assert caught.value.retry_after == 10
    clock.now += caught.value.retry_after
    _request(quota)


def test_concurrent_requests(clock: Clock) -> None:
    """A rejected request counts neither as running nor for the rate."""
    quota = Quota(KeyLimits(concurrent_requests=2, requests_per_second=2), clock)
    with quota.request():
        with quota.request(), pytest.raises(RateLimited, match=r"has 2 requests in progress, its concurrent_requests"):
            _request(quota)
        clock.now += 0.5
        _request(quota)


def test_failed_requests_leave_no_count(clock: Clock) -> None:
    """The next request is accepted."""
    quota = Quota(KeyLimits(concurrent_requests=1), clock)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), quota.request():
            raise ZeroDivisionError


def test_tokens_are_corrected_by_the_used_ones(clock: Clock) -> None:
    """The estimate counts until the request ends, then the tokens that were computed."""
    quota = Quota(KeyLimits(tokens_per_minute=600), clock)
    with quota.charge(500) as charge:
        with pytest.raises(RateLimited, match="may use 600 tokens per minute, and has used them up") as caught:
            quota.charge(200).__enter__()
        assert caught.value.retry_after == 10
        charge.used = 300
    with quota.charge(300) as charge:
        charge.used = 900
    with pytest.raises(RateLimited) as caught:
        _request(quota)
    assert caught.value.retry_after == pytest.approx(60.1)


def test_request_that_never_fits_is_not_retried(clock: Clock) -> None:
    """A retry would not help, so the error is a 400 with the bound and the next step."""
    quota = Quota(KeyLimits(tokens_per_minute=600), clock)
    with pytest.raises(TooLarge, match=r"about 601 tokens, and the API key may use 600 per minute: send fewer"):
        quota.charge(601).__enter__()
    with quota.charge(600):
        pass


def test_rejected_request_takes_no_tokens(clock: Clock) -> None:
    """An error before any batch, such as an overloaded server, uses none."""
    quota = Quota(KeyLimits(tokens_per_minute=600), clock)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), quota.charge(600):
            raise ZeroDivisionError


def test_first_limit_does_not_count_what_was_computed_before_it(clock: Clock) -> None:
    """Otherwise a long stream of the key would leave a debt of hours."""
    quota = Quota(clock=clock)
    with quota.charge_stream() as charge:
        charge.take(1_000_000)
        charge.use(1_000_000)
        quota.change(KeyLimits(tokens_per_minute=600))
        charge.take(100)
        charge.use(100)
    with quota.charge(500):
        pass
    with pytest.raises(RateLimited), quota.charge(501):
        pass


def test_tokens_after_the_end_are_taken_at_once(clock: Clock) -> None:
    """Those of a batch that runs on."""
    quota = Quota(KeyLimits(tokens_per_minute=600), clock)
    with quota.charge(100) as charge:
        charge.use(10)
    charge.use(590)
    with pytest.raises(RateLimited), quota.charge(1):
        pass


async def test_stream_waits_until_its_debt_is_paid(clock: Clock) -> None:
    """A stream is not rejected: it waits, and takes its tokens at the rate of the key."""
    quota = Quota(KeyLimits(tokens_per_minute=600_000), clock)
    with quota.charge_stream() as charge:
        await charge.paid()
        charge.take(600_000)
        await charge.paid()
        charge.take(100)
        with pytest.raises(RateLimited):
            _request(quota)
        paying = asyncio.create_task(charge.paid())
        await asyncio.sleep(0)
        assert not paying.done()
        clock.now += 0.01
        await paying
        quota.charge(0.0).__enter__()
        charge.used = 600_100


@pytest.mark.parametrize("limits", [KeyLimits(), KeyLimits(tokens_per_minute=10**12)], ids=["none", "higher"])
async def test_waiting_stream_notices_new_limits(clock: Clock, limits: KeyLimits) -> None:
    """Otherwise it waits until a debt is paid that no longer counts: here, 77 minutes."""
    quota = Quota(KeyLimits(tokens_per_minute=1_000), clock)
    with quota.charge_stream() as charge:
        charge.take(78_000)
        paying = asyncio.create_task(charge.paid())
        await asyncio.sleep(0)
        quota.change(limits)
        clock.now += 0.001
        await paying


def test_changed_limits_keep_the_counters(clock: Clock) -> None:
    """A reload of the file gives no new burst, and does not forget running requests."""
    quota = Quota(KeyLimits(requests_per_second=2, tokens_per_minute=60, concurrent_requests=2), clock)
    with quota.request(), quota.charge(59) as charge:
        charge.used = 59
        _request(quota)
        quota.change(KeyLimits(requests_per_second=4, concurrent_requests=1))
        with pytest.raises(RateLimited, match="in progress"):
            _request(quota)
    with pytest.raises(RateLimited, match="4 requests per second"):
        _request(quota)
    quota.change(KeyLimits())
    with quota.charge(1e9):
        _request(quota)
