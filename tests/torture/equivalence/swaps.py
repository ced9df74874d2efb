"""Hot swaps while requests run, and the versions that may answer at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rerank.admin import AdminClient
from torture.equivalence.versions import Versions

REQUESTS_BETWEEN = 150
"""Number of requests between two swaps."""
_NAME = "small"


class Swaps:
    """Which version serves, as far as a client can know."""

    def __init__(self, versions: Versions) -> None:
        self._folders = (versions.first, versions.second)
        self._possible: list[frozenset[int]] = [frozenset({0})]
        self._requests = 0
        self._due = asyncio.Event()
        self.done = 0
        """Number of swaps."""

    def begin(self) -> int:
        """Note that a request is sent. Return its moment, for `versions_since`."""
        self._requests += 1
        if self._requests % REQUESTS_BETWEEN == 0:
            self._due.set()
        return len(self._possible) - 1

    def versions_since(self, moment: int) -> frozenset[int]:
        """Return the numbers of the versions that may have answered since a moment."""
        return frozenset().union(*self._possible[moment:])

    async def run(self, address: str) -> None:
        """Change to the other version each time that enough requests were sent. Ends when it is cancelled."""
        serving = 0
        with AdminClient(address) as admin:
            while True:
                await self._due.wait()
                self._due.clear()
                other = 1 - serving
                self._possible.append(frozenset({serving, other}))
                await asyncio.to_thread(_load, admin, self._folders[other])
                self._possible.append(frozenset({other}))
                serving = other
                self.done += 1


def _load(admin: AdminClient, folder: Path) -> None:
    admin.load(_NAME, folder)


@asynccontextmanager
async def swapping(swaps: Swaps, address: str) -> AsyncIterator[None]:
    """Swap versions while the block runs.

    Raises:
        RerankError: a swap failed.
    """
    task = asyncio.create_task(swaps.run(address))
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
