"""Limits of one API key: requests per second, tokens per minute, concurrent requests."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rerank_service.errors import RateLimited, TooLarge
from rerank_service.quantities import counted, duration, rounded
from rerank_service.scheduling.token_bucket import TokenBucket

_CONCURRENT_RETRY = 1.0
"""Seconds until a retry, if the key has too many concurrent requests. Nobody knows when one of them ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """The limits of a key. None: no limit."""

    requests_per_second: float | None = None
    """Mean number of requests per second. A burst may have as many as in one second, and at least one."""
    tokens_per_minute: int | None = None
    """Mean number of tokens per minute. A burst may have as many as in one minute."""
    concurrent_requests: int | None = None
    """Maximum number of requests at the same time."""


class _TokenLimit:
    """The bucket of a key's tokens, which may change while requests wait."""

    def __init__(self) -> None:
        self.bucket: TokenBucket | None = None
        """None: the key has no limit of tokens."""
        self.changed = asyncio.Event()
        """Set when this bucket has another rate or capacity, or there is another one."""

    def change(self, bucket: TokenBucket | None) -> None:
        """Use a bucket, and let requests that wait look at it."""
        self.bucket = bucket
        self.changed.set()
        self.changed = asyncio.Event()


class Charge:
    """The tokens that one request takes from the bucket of its key. Used on the event loop only."""

    def __init__(self, limit: _TokenLimit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._taken = 0.0
        self._settled = False
        self.used = 0.0
        """Tokens that were computed for the request, so far."""

    def use(self, tokens: float) -> None:
        """Count tokens that were computed for the request. After its end, they are taken at once."""
        self.used += tokens
        if self._settled:
            self.take(tokens)

    def take(self, tokens: float) -> None:
        """Take tokens from the bucket, also if it has too few."""
        self._taken += tokens  # also without a limit: one that comes later does not count them
        if self._limit.bucket is not None:
            self._limit.bucket.take(tokens, self._clock())

    async def paid(self) -> None:
        """Wait until the bucket has no debt, or the key has no limit of tokens any more."""
        while (bucket := self._limit.bucket) is not None and (seconds := bucket.wait(0.0, self._clock())):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._limit.changed.wait()

    def settle(self) -> None:
        """Put back the tokens that the request did not use, or take those that it used in excess."""
        self._settled = True
        if self._limit.bucket is not None:
            self._limit.bucket.put_back(self._taken - self.used, self._clock())


class Quota:
    """The limits of one key with their counters. Used on the event loop only."""

    def __init__(self, limits: KeyLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Without limits, every request is accepted."""
        self._clock = clock
        self._limits = KeyLimits()
        self._requests: TokenBucket | None = None
        self._tokens = _TokenLimit()
        self._running = 0
        self.change(limits or KeyLimits())

    def change(self, limits: KeyLimits) -> None:
        """Change the limits. The counters stay."""
        now, rate, tokens = self._clock(), limits.requests_per_second, limits.tokens_per_minute
        self._requests = _bucket(self._requests, rate, max(1.0, rate or 0.0), now)
        self._tokens.change(_bucket(self._tokens.bucket, tokens and tokens / 60, float(tokens or 0), now))
        self._limits = limits

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request, which runs until the block ends.

        Raises:
            RateLimited: the key is over one of its limits.
        """
        limits, now = self._limits, self._clock()
        if limits.concurrent_requests is not None and self._running >= limits.concurrent_requests:
            raise RateLimited(
                f"the API key has {counted(self._running, 'request')} in progress, its concurrent_requests: retry when "
                "one has finished",
                retry_after=_CONCURRENT_RETRY,
            )
        if self._tokens.bucket is not None:
            self._check_tokens(self._tokens.bucket, 1.0)
        if self._requests is not None:
            if wait := self._requests.wait(1.0, now):
                raise RateLimited(
                    f"the API key may send {rounded(limits.requests_per_second or 0.0)} requests per second: retry "
                    f"after {duration(wait)}",
                    retry_after=wait,
                )
            self._requests.take(1.0, now)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextmanager
    def charge(self, tokens: float) -> Iterator[Charge]:
        """Take the estimated tokens of a request. When the block ends, correct them by the used ones.

        Raises:
            RateLimited: the key has used up its tokens.
            TooLarge: the request has more tokens than the key may use in a minute, so a retry does not help.
        """
        if (bucket := self._tokens.bucket) is not None:
            if tokens > bucket.capacity:
                raise TooLarge(
                    f"the request has about {counted(tokens, 'token')}, and the API key may use "
                    f"{bucket.capacity:,.0f} per minute: send fewer or shorter documents, or a stream",
                    field="documents",
                    reason="too_many_tokens",
                )
            self._check_tokens(bucket, tokens)
        with self.charge_stream() as charge:
            charge.take(tokens)
            yield charge

    @contextmanager
    def charge_stream(self) -> Iterator[Charge]:
        """Charge a request of unknown size: the block takes its tokens when it knows them."""
        charge = Charge(self._tokens, self._clock)
        try:
            yield charge
        finally:
            charge.settle()

    def _check_tokens(self, bucket: TokenBucket, tokens: float) -> None:
        if wait := bucket.wait(tokens, self._clock()):
            raise RateLimited(
                f"the API key may use {bucket.capacity:,.0f} tokens per minute, and has used them up for now: retry "
                f"after {duration(wait)}",
                retry_after=wait,
            )


def _bucket(bucket: TokenBucket | None, rate: float | None, capacity: float, now: float) -> TokenBucket | None:
    """Return the bucket with a new rate and capacity. None: there is no limit."""
    if rate is None:
        return None
    if bucket is None:
        return TokenBucket(rate, capacity, now)
    bucket.resize(rate, capacity, now)
    return bucket
