"""The running batches, and the requests that need each of them.

Rule: all methods are called under the scheduler's lock.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from rerank_service.scheduling.batch_cancellation import CancelToken

Request = TypeVar("Request")


class RunningBatches(Generic[Request]):
    """The requests that own a pair of each running batch, or wait for one of its pairs."""

    def __init__(self) -> None:
        self._requests: dict[CancelToken, set[Request]] = {}

    def start(self, batch: CancelToken) -> None:
        """Add a batch that no request needs yet."""
        self._requests[batch] = set()

    def need(self, batch: CancelToken, requests: Iterable[Request]) -> None:
        """Record that requests need a batch."""
        self._requests[batch].update(requests)

    def is_needed(self, batch: CancelToken) -> bool:
        """Return False if no request needs a batch: it is cancelled, or about to be."""
        return bool(self._requests[batch])

    def leave(self, request: Request) -> list[CancelToken]:
        """Remove a request, and return the batches that no request needs any more."""
        unneeded = [batch for batch, requests in self._requests.items() if requests == {request}]
        for requests in self._requests.values():
            requests.discard(request)
        return unneeded

    def requests(self) -> set[Request]:
        """Return all requests that need a running batch."""
        return set().union(*self._requests.values())

    def end(self, batch: CancelToken) -> None:
        """Remove a batch that has ended."""
        del self._requests[batch]
