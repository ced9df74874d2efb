"""The tuning of one version, which can be given up."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.models.tuning.background import TuningCancelled


class TuningAttempt:
    """The tuning of the version of a model that serves. Used on the event loop only, except `halt`.

    A thread that chooses or loads an engine ends some time after `halt` is set. The waits between end at once: a load
    that waits for the end of the tuning may hold the lock for which the tuning waits.
    """

    def __init__(self, managed: ManagedModel) -> None:
        self.managed = managed
        self.halt = threading.Event()
        """Set when the tuning is given up."""
        self.ended = asyncio.Event()
        """Set when the tuning has ended, and its memory is free."""
        self._wait: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """End as soon as possible."""
        if not self.halt.is_set():
            self.halt.set()
            if self._wait is not None:
                self._wait.reschedule(0.0)  # now

    def check(self) -> None:
        """Raise TuningCancelled if the tuning is given up."""
        if self.halt.is_set():
            raise TuningCancelled

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Allow that the block waits until the tuning is given up.

        Raises:
            TuningCancelled: it is given up.
        """
        self.check()
        try:
            async with asyncio.timeout(None) as self._wait:
                yield
        except TimeoutError:
            raise TuningCancelled from None
        finally:
            self._wait = None
