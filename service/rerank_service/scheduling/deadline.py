"""The deadline of a request."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType

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

    def enforced(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block when the deadline passes.

        Raises:
            DeadlinePassed: the deadline passed before the block ended.
        """
        return _Enforced(asyncio.timeout_at(self.at))


class _Enforced:
    """The block of `Deadline.enforced`. A class, because a generator would cost more than the timeout itself."""

    def __init__(self, scope: asyncio.Timeout) -> None:
        self._scope = scope

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as passed:
            raise DeadlinePassed(
                "the deadline passed before the request was finished: set a longer timeout, or send fewer or shorter "
                "documents"
            ) from passed
