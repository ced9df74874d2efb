"""Cancel all batches that run at the same time in several threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_service.scheduling.batch_cancellation import CancelToken


class CancellableBatches:
    """The running batches. Each has a token of its own, because a token stops one batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[CancelToken] = set()
        self._cancelled = False

    @contextmanager
    def running(self) -> Iterator[CancelToken]:
        """Run a batch in this block, with the token that is yielded. After `cancel`, the token is cancelled already."""
        token = CancelToken()
        with self._lock:
            self._running.add(token)
            if self._cancelled:
                token.cancel()
        try:
            yield token
        finally:
            with self._lock:
                self._running.remove(token)

    def cancel(self) -> None:
        """Stop the running batches, and those that begin from now on. Does not wait for them."""
        with self._lock:
            self._cancelled = True
            running = list(self._running)
        for token in running:
            token.cancel()
