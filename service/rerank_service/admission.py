"""Who may come in: room for documents, and the door that a draining server closes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_service.errors import NotReady, Overloaded

RETRY_AFTER = 1.0
"""Seconds told to a refused client."""


class Admission:
    """Counts the documents of live requests. Room is taken before a request's first await, so that no two
    requests are let in on the same room."""

    def __init__(self, max_live_documents: int) -> None:
        self._max_live_documents = max_live_documents
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self.live_documents = 0
        self.live_requests = 0

    @contextmanager
    def admit(self, documents: int) -> Iterator[None]:
        """Hold room for a request's documents while it lives.

        A request is let in whatever its size when nothing else is there, so that no request is refused for ever.

        Raises:
            NotReady: the server is draining.
            Overloaded: there is no room; says when to come back.
        """
        if not self._open:
            raise NotReady("the server is draining: send the request to another replica")
        if self.live_requests and self.live_documents + documents > self._max_live_documents:
            raise Overloaded(
                f"{self.live_documents} documents are being ranked, and the server takes on at most "
                f"{self._max_live_documents}",
                retry_after=RETRY_AFTER,
            )
        self.live_documents += documents
        self.live_requests += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.live_documents -= documents
            self.live_requests -= 1
            if not self.live_requests:
                self._empty.set()

    def close(self) -> None:
        """Let nobody in any more; who is in stays until answered."""
        self._open = False

    async def drained(self) -> None:
        """Wait until no request lives."""
        await self._empty.wait()
