"""The pause of gRPC's own retry policies (gRFC A6, "Pushback"). They do not read google.rpc.RetryInfo."""

import math

from rerank_service.errors import Overloaded, RateLimited, RequestError

RETRY_PUSHBACK = "grpc-retry-pushback-ms"
_NO_RETRY = "-1"


def retry_pushback(error: RequestError, remaining: float) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata with the pause before the client's retry policy repeats a call, if it repeats this
    status at all.

    Only an overload and the limit of a key ask for a pause. A call to a draining server should go to another replica at
    once. If the pause would exceed the deadline, the call is not repeated: the caller gets this error, and not a
    DEADLINE_EXCEEDED after a wait in vain.

    Args:
        error: the error of the call.
        remaining: seconds until the deadline of the call; without one, the server's default timeout.
    """
    if not isinstance(error, Overloaded | RateLimited):
        return ()
    pause = str(math.ceil(error.retry_after * 1000)) if error.retry_after < remaining else _NO_RETRY
    return ((RETRY_PUSHBACK, pause),)
