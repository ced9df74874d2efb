"""The deadline of a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rerank_service.errors import DeadlinePassed


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which a request must be finished."""

    at: float
    """Seconds on the event loop's clock."""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(asyncio.get_running_loop().time() + seconds)

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Cancel the block when the deadline passes.

        Raises:
            DeadlinePassed: the deadline passed before the block ended.
        """
        scope = asyncio.timeout_at(self.at)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlinePassed(
                "the deadline passed before the request was finished: set a longer timeout, or send fewer or shorter "
                "documents"
            ) from error
