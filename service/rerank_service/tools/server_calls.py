"""Calls of a rerank server by commands: the meaning of a failure, and the repetition of a call."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import TypeVar

from rerank.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    RerankError,
    ResourceExhausted,
    Unavailable,
)
from rerank_service.tools.rest_failure import RestCallFailed

T = TypeVar("T")

TIMEOUT_SECONDS = 600.0
"""Deadline of one request of a command that scores files."""
TIMEOUT_REPEATS = 2
"""Maximum number of repetitions of a request with a single document that misses the deadline."""
REPEATS = 40
"""Maximum number of repeated calls. With the pauses below they take about 17 minutes: a server restarts in less."""
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
_PATIENCE_SECONDS = 17 * 60.0

CALL_ERRORS = (RerankError, RestCallFailed)


class Failure(Enum):
    """The meaning of a failed call."""

    REQUEST = auto()
    """The request is invalid, or the model fails on it. Other requests can succeed."""
    TIMEOUT = auto()
    """The request does not finish within its deadline. A request with fewer documents can succeed."""
    BUSY = auto()
    """The server is overloaded, loading, restarting, or not reachable. The same call can succeed later."""
    FATAL = auto()
    """No call can succeed, for example because the API key is wrong."""


_BUSY = (Overloaded, Unavailable, Cancelled)
_REQUEST = (InvalidArgument, Internal, ResourceExhausted)
"""A ResourceExhausted that is no Overloaded: the message exceeds the limit of the server."""
_NO_RESPONSE = 0
_TIMEOUT_OF_CLOUDFLARE = 524
_OF_STATUS = {
    HTTPStatus.BAD_REQUEST: Failure.REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Failure.REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY: Failure.REQUEST,
    HTTPStatus.INTERNAL_SERVER_ERROR: Failure.REQUEST,
    HTTPStatus.NOT_IMPLEMENTED: Failure.FATAL,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: Failure.FATAL,
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: Failure.FATAL,
    HTTPStatus.REQUEST_TIMEOUT: Failure.BUSY,
    HTTPStatus.TOO_MANY_REQUESTS: Failure.BUSY,
    HTTPStatus.GATEWAY_TIMEOUT: Failure.TIMEOUT,
    _TIMEOUT_OF_CLOUDFLARE: Failure.TIMEOUT,
    _NO_RESPONSE: Failure.BUSY,
}


def failure(error: Exception) -> Failure:
    """Return the meaning of an error of CALL_ERRORS."""
    if isinstance(error, RestCallFailed):
        # proxies have statuses of their own from 520, such as those for a server that restarts
        others = Failure.BUSY if error.status >= HTTPStatus.BAD_GATEWAY else Failure.FATAL
        return _OF_STATUS.get(error.status, others)
    if isinstance(error, _BUSY):
        return Failure.BUSY
    if isinstance(error, DeadlineExceeded):
        return Failure.TIMEOUT
    return Failure.REQUEST if isinstance(error, _REQUEST) else Failure.FATAL


def failure_message(error: Exception) -> str:
    """Return the message of an error of CALL_ERRORS."""
    return error.message if isinstance(error, RerankError) else str(error)


async def repeated(
    call: Callable[[], Awaitable[T]],
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    *,
    after_timeouts: bool = False,
) -> T:
    """Call a server, and repeat the call while the server is busy. `pause` waits for a number of seconds.

    A pause is at least as long as the server asks for. A part of it is random, so that calls do not return all at once.
    If the server asks for more than 17 minutes, the call fails.

    `after_timeouts`: repeat it after a missed deadline, too, for 17 minutes. This is for calls that any working server
    answers in time: a proxy in front of it responds with 504 while the server restarts.

    Raises:
        RerankError, RestCallFailed: the call failed, and a repetition does not help or did not help.
    """
    seconds, started = _FIRST_PAUSE_SECONDS, time.monotonic()
    for _ in range(REPEATS):
        try:
            return await call()
        except CALL_ERRORS as error:
            kind = failure(error)
            patient = after_timeouts and time.monotonic() - started < _PATIENCE_SECONDS
            if kind is not Failure.BUSY and not (kind is Failure.TIMEOUT and patient):
                raise
            asked = error.retry_after or 0.0
            if asked > _PATIENCE_SECONDS:  # such as a day, of a page for maintenance
                raise
        await pause(max(seconds / 2, asked) + random.uniform(0.0, seconds))  # noqa: S311 - spreads calls, hides nothing
        seconds = min(2 * seconds, _MAX_PAUSE_SECONDS)
    return await call()
