"""Token bucket: a mean rate with bursts. Pure policy: every method takes the time, in seconds."""

_ROUNDING = 1e-9
"""Share of the capacity that may be missing. A client that waits exactly as long as it should must not be rejected
because of rounding."""


class TokenBucket:
    """A bucket that fills at a rate up to its capacity, and from which requests take tokens.

    The level may be negative: a debt, which must be paid back before the next request.
    """

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        """`rate` is in tokens per second. The bucket starts full."""
        self._rate = rate
        self._capacity = capacity
        self._level = capacity
        self._at = now

    @property
    def capacity(self) -> float:
        """Maximum number of tokens in the bucket."""
        return self._capacity

    def wait(self, tokens: float, now: float) -> float:
        """Return the seconds until the bucket has a number of tokens, at most its capacity. 0: it has them now."""
        missing = tokens - self._filled(now)
        return missing / self._rate if missing > _ROUNDING * self._capacity else 0.0

    def take(self, tokens: float, now: float) -> None:
        """Take tokens. The bucket may get into debt."""
        self._level = self._filled(now) - tokens

    def put_back(self, tokens: float, now: float) -> None:
        """Put back tokens that were taken and not used."""
        self._level = min(self._capacity, self._filled(now) + tokens)

    def resize(self, rate: float, capacity: float, now: float) -> None:
        """Change rate and capacity. The level stays, up to the new capacity."""
        self._level = min(capacity, self._filled(now))
        self._rate, self._capacity = rate, capacity

    def _filled(self, now: float) -> float:
        """Add the tokens since the last call, and return the level."""
        self._level = min(self._capacity, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return self._level
