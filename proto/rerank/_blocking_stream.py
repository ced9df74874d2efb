"""A blocking RerankStream call. Private: import from rerank.client."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import grpc

from rerank._lifetime import Lifetime
from rerank._messages import Content, OnScores, document_chunks, merge_response
from rerank._retries import Budget, CallFailed, RetryPolicy
from rerank.errors import Cancelled
from rerank.v1 import rerank_pb2 as pb

Responses = Generator[pb.RerankStreamResponse]
StartCall = Callable[..., Any]
"""Starts a call. Takes the messages and `timeout`."""


class CancellableCall:
    """Starts the calls of a stream, which another thread may cancel."""

    def __init__(self, start_call: StartCall) -> None:
        self._start_call = start_call
        self._lock = threading.Lock()
        self._call: Any = None
        self._cancelled = False

    def __call__(self, messages: Iterator[pb.RerankStreamRequest], timeout: float | None) -> Any:
        """Start a call.

        Raises:
            Cancelled: the stream is cancelled.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled("the scores are closed")
            self._call = self._start_call(messages, timeout=timeout)
            return self._call

    def is_cancelled(self) -> bool:
        """Return True after `cancel`."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the running call, and start none from now on."""
        with self._lock:
            self._cancelled = True
            if self._call is not None:
                self._call.cancel()


def rank_stream(responses: Responses, on_scores: OnScores | None) -> pb.RerankResponse:
    """Read all responses, and return the ranking."""
    ranking = pb.RerankResponse()
    with closing(responses):  # cancels the call if on_scores raises
        for response in responses:
            merge_response(ranking, response, on_scores)
    return ranking


def stream_responses(
    policy: RetryPolicy,
    start_call: StartCall,
    header: pb.RerankStreamRequest,
    documents: Iterable[Content],
    lifetime: Lifetime,
    ended: Callable[[], bool] | None = None,
) -> Responses:
    """Send the header and the documents, and yield the responses. The end of the generator cancels the call.

    A pause before another attempt stops when `ended` returns True.
    A failed call is repeated until its first response, and only if the documents can be read from the beginning: an
    iterator must not have been read.

    Raises:
        RerankError: the call failed, or the client is closed.
        BaseException: the error of `documents`.
    """
    budget, again = Budget(policy), not isinstance(documents, Iterator)
    while True:
        attempt, responded = _Attempt(header, documents), False
        try:
            with closing(attempt.responses(start_call, budget.timeout, lifetime)) as responses:
                for response in responses:
                    responded = True
                    yield response
            return
        except CallFailed as failed:
            may_repeat = (attempt.close() or again) and not responded and not failed.cancelled_here
            pause = budget.pause(failed.error) if may_repeat else None
            if pause is None:
                raise failed.error from failed.cause
        lifetime.pause(pause, ended)


class _Attempt:
    """One call. gRPC iterates over its messages in a separate thread."""

    def __init__(self, header: pb.RerankStreamRequest, documents: Iterable[Content]) -> None:
        self._header = header
        self._documents = documents
        self._lock = threading.Lock()
        self._reading = False
        self._closed = False
        self._started = threading.Event()
        self._failures: list[BaseException] = []
        self._call: Any = None

    def close(self) -> bool:
        """Read no documents from now on. Return True if none was read."""
        with self._lock:
            self._closed = True
            return not self._reading

    def responses(self, start_call: StartCall, timeout: float | None, lifetime: Lifetime) -> Responses:
        """Yield the responses. An error of the documents cancels the call and is raised here.

        Raises:
            CallFailed: the call failed.
            Cancelled: the client is closed.
        """
        with lifetime.starting():
            self._call = start_call(self._messages(), timeout=timeout)
        self._started.set()
        try:
            yield from self._call
        except grpc.RpcError as error:
            if not self._failures:
                raise CallFailed(error) from error
        finally:
            self._call.cancel()  # has no effect on a finished call
        if self._failures:
            raise self._failures[0]

    def _messages(self) -> Iterator[pb.RerankStreamRequest]:
        try:
            yield self._header
            if self._may_read():
                yield from document_chunks(self._documents)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised by responses
            self._failures.append(error)
            self._started.wait()
            self._call.cancel()

    def _may_read(self) -> bool:
        with self._lock:
            self._reading = not self._closed
            return self._reading
