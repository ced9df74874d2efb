"""Make room for the load of a model: free memory that no request needs."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.lifecycle.tuner import Tuner

_WAIT = 30.0
"""Maximum seconds in which a load waits for memory: that of a model that finishes its requests, or of a tuning."""

Unload = asyncio.Task[Exception | None]
"""The task of an operation that unloads a model."""


@dataclass(slots=True)
class RoomNeeded:
    """A load that needs room, and the state of its search."""

    loading: ManagedModel
    tuner: Tuner
    tuning_is_slow: bool = field(init=False, default=False)
    """True after a wait for a tuning that took too long. The load does not wait for a tuning again."""


class Room:
    """Makes room for loads. Used on the event loop only."""

    def __init__(self, models: Mapping[str, ManagedModel], start_unload: Callable[[ManagedModel, str], Unload]) -> None:
        """`models` are all models of the server. `start_unload` unloads one of them, for a reason."""
        self._models = models
        self._start_unload = start_unload
        self._unloads: set[Unload] = set()

    def expect(self, unload: Unload) -> None:
        """Note an unload that is running, also one of a model that the server does not have any more."""
        self._unloads.add(unload)
        unload.add_done_callback(self._unloads.discard)

    async def make(self, needed: RoomNeeded) -> bool:
        """Free memory, in the way that harms least: give up the tuning that is running, or unload the on-demand model
        that has been without requests for the longest time, or wait for a model that is being unloaded.

        Return False if no memory became free.
        """
        if await self._tuning_ends(needed):
            return True
        victim = self._victim(needed)
        if victim is None:
            return await self._unload_ends()
        unload = self._start_unload(victim, f"model {needed.loading.name!r} needs its memory")
        ended, _ = await asyncio.wait([unload], timeout=_WAIT)
        return bool(ended)

    async def _tuning_ends(self, needed: RoomNeeded) -> bool:
        """Give up the tuning. Return False if none is running, or if it takes too long."""
        if needed.tuning_is_slow:
            return False
        try:
            async with asyncio.timeout(_WAIT):
                return await needed.tuner.make_room()
        except TimeoutError:
            needed.tuning_is_slow = True
            return False

    def _victim(self, needed: RoomNeeded) -> ManagedModel | None:
        """Return the model to unload. The unload of one whose tuning is slow would wait for that."""
        idle = (
            managed
            for managed in self._models.values()
            if managed.is_idle and managed is not needed.loading and not needed.tuner.tunes(managed)
        )
        return min(idle, key=lambda managed: managed.registered.last_used, default=None)

    async def _unload_ends(self) -> bool:
        """Wait until a model is unloaded. Return False if none is being unloaded, or if it takes too long."""
        if not self._unloads:
            return False
        ended, _ = await asyncio.wait(self._unloads, timeout=_WAIT, return_when=asyncio.FIRST_COMPLETED)
        return bool(ended)
