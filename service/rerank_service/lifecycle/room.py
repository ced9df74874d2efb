"""Make room for the load of a model: free the memory of models that are not in use."""

import asyncio
from collections.abc import Callable, Mapping

from rerank_service.lifecycle.managed_model import ManagedModel

_WAIT = 30.0
"""Maximum seconds in which a load waits for the memory of a model that finishes its requests."""

Unload = asyncio.Task[Exception | None]
"""The task of an operation that unloads a model."""


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

    async def make(self, loading: ManagedModel) -> bool:
        """Unload the on-demand model that has been without requests for the longest time, or wait for a model that is
        being unloaded. Return False if no memory became free."""
        idle = (managed for managed in self._models.values() if managed.is_idle and managed is not loading)
        victim = min(idle, key=lambda managed: managed.registered.last_used, default=None)
        if victim is None:
            return await self._unload_ends()
        unload = self._start_unload(victim, f"model {loading.name!r} needs its memory")
        ended, _ = await asyncio.wait([unload], timeout=_WAIT)
        return bool(ended)

    async def _unload_ends(self) -> bool:
        """Wait until a model is unloaded. Return False if none is being unloaded, or if it takes too long."""
        if not self._unloads:
            return False
        ended, _ = await asyncio.wait(self._unloads, timeout=_WAIT, return_when=asyncio.FIRST_COMPLETED)
        return bool(ended)
