"""A number of places for calls, where connections that wait take turns."""

import asyncio
from collections import deque


class FairPlaces:
    """A semaphore that no connection can keep from others by many calls. Used on the event loop only."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The calls that wait, by connection. The first connection is the next one."""
        self.crowded = asyncio.Event()
        """Set while calls wait."""

    async def take(self, connection: str) -> None:
        """Wait for a place. `free` must follow."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection, deque()).append(turn)
        self.crowded.set()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was its turn at this moment
                self.free()
            raise

    def free(self) -> None:
        """Give a place to a call of the next connection, or back."""
        while self._waiting:
            turn = self._next()
            if not turn.done():  # its call has not ended
                turn.set_result(None)
                break
        else:
            self._free += 1
        if not self._waiting:
            self.crowded.clear()

    def _next(self) -> asyncio.Future[None]:
        connection = next(iter(self._waiting))
        turns = self._waiting.pop(connection)
        turn = turns.popleft()
        if turns:
            self._waiting[connection] = turns  # last
        return turn
