"""Repeated calls: which errors are worth a repetition, when, and until when. Private: import from rerank.client.

gRPC can repeat calls, too (service config, gRFC A6). It ignores RetryInfo and the time that is left: it would pause
until the deadline and then hide the reason. So its retry policy is not set (docs/decisions/0044).
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeVar

import grpc

from rerank._lifetime import AsyncLifetime, Lifetime
from rerank._status import translated
from rerank.errors import Cancelled, Overloaded, RerankError, Unavailable

T = TypeVar("T")

DEFAULT_RETRIES = 3
"""Repetitions of a call, unless a client sets another number."""
_FIRST_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 5.0
_MAX_TIMEOUT_SECONDS = 366 * 24 * 3600.0
"""Longest deadline of a try. A much longer one overflows in gRPC, and would be over at once."""
_TEMPORARY = (Overloaded, Unavailable, Cancelled)
"""Errors after which a repetition helps. A server that stops ends calls that it has not accepted yet with CANCELLED
(docs/decisions/0066)."""
_DEFAULT_BUDGET_SECONDS = 60.0
"""Time for pauses if the caller sets no timeout: the default deadline of a server."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Repetitions and time of each call of a client."""

    retries: int = DEFAULT_RETRIES
    timeout: float | None = None
    """Seconds for all tries together, with the pauses. None: each try has the default deadline of the server."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: a value has the wrong type.
            ValueError: a value is out of range.
        """
        _check_retries(self.retries)
        if self.timeout is not None:
            _check_timeout(self.timeout)


def _check_retries(retries: object) -> None:
    if not isinstance(retries, Integral) or isinstance(retries, bool):
        raise TypeError(f"retries is {retries!r}: give a whole number, 0 for none")
    if int(retries) < 0:
        raise ValueError(f"retries is {retries}: give 0 for none, or a positive number")


def _check_timeout(timeout: object) -> None:
    if not isinstance(timeout, Real) or isinstance(timeout, bool):
        raise TypeError(f"timeout is {timeout!r}: give a number of seconds, or None")
    if not float(timeout) > 0:  # also NaN
        raise ValueError(f"timeout is {timeout}: give seconds above 0, or None for the default of the server")


class Budget:
    """The tries of one call, and the time that is left for them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        # a float32 of numpy has not enough digits for a time of day: gRPC's deadline would be minutes off
        self._timeout = None if policy.timeout is None else float(policy.timeout)
        self._began = time.monotonic()
        self._tries = 0

    @property
    def timeout(self) -> float | None:
        """Seconds for the next try. None: the default of the server."""
        return None if self._timeout is None else min(self._left(self._timeout), _MAX_TIMEOUT_SECONDS)

    def pause(self, error: RerankError) -> float | None:
        """Return the seconds until the next try, or None if the error is final.

        It is final if a repetition does not help, if no retry is left, or if the time would be over before the next
        try. The pause is the one that the server asks for, and up to 0.1 s, 0.2 s, 0.4 s … 5 s of random time ("full
        jitter"), so that clients do not return all at once.
        """
        if self._tries == self._policy.retries or not isinstance(error, _TEMPORARY):
            return None
        most = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._tries, 10), _MAX_PAUSE_SECONDS)
        self._tries += 1
        pause = max(error.retry_after or 0.0, 0.0) + random.uniform(0.0, most)  # noqa: S311 - spreads calls, hides nothing
        left = self._left(_DEFAULT_BUDGET_SECONDS if self._timeout is None else self._timeout)
        return pause if pause < left else None

    def _left(self, seconds: float) -> float:
        return max(0.0, self._began + seconds - time.monotonic())


def call_blocking(policy: RetryPolicy, call: Callable[[float | None], T], lifetime: Lifetime) -> T:
    """Call a method of a stub, which takes the timeout of a try. Repeat it as the policy says.

    Raises:
        RerankError: the last try failed, or the client is closed.
    """
    budget = Budget(policy)
    while True:
        try:
            with lifetime.starting():
                return call(budget.timeout)
        except RerankError:
            raise
        except grpc.RpcError as error:
            failed = translated(error)
            pause = budget.pause(failed)
            if pause is None:
                raise failed from error
        lifetime.pause(pause)


async def call_async(policy: RetryPolicy, call: Callable[[float | None], Awaitable[T]], lifetime: AsyncLifetime) -> T:
    """Call a method of an asynchronous stub, like call_blocking."""
    budget = Budget(policy)
    while True:
        try:
            with lifetime.running():
                return await call(budget.timeout)
        except RerankError:
            raise
        except grpc.RpcError as error:
            failed = translated(error)
            pause = budget.pause(failed)
            if pause is None:
                raise failed from error
        await lifetime.pause(pause)


class CallFailed(Exception):
    """A try of a stream failed. Errors of the documents are raised as they are, and may be RerankErrors, too."""

    def __init__(self, cause: grpc.RpcError) -> None:
        super().__init__()
        self.cause = cause
        self.error = translated(cause)
        self.cancelled_here = isinstance(cause, grpc.Future) and cause.cancelled()
        """True if this process cancelled the call."""
