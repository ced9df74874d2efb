"""Bring a model to a changed entry, or to the new files in its folder.

A model that is being unloaded waits with the change, so that its last requests delay no change of another model.
"""

from collections.abc import Callable, Mapping

import structlog

from rerank_service.lifecycle.entry_facts import described
from rerank_service.lifecycle.managed_model import Change, ManagedModel
from rerank_service.lifecycle.model_operations import ModelOperations
from rerank_service.lifecycle.outcomes import error_of
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo

_log = structlog.get_logger()

ApplyFields = Callable[[ManagedModel, ModelEntry], None]
"""Applies the fields of an entry that need no load."""


class ModelChanges:
    """Changes models whose entries or folders have changed. Used on the event loop only."""

    def __init__(self, models: Mapping[str, ManagedModel], operations: ModelOperations, apply: ApplyFields) -> None:
        """`models` are all models of the server."""
        self._models = models
        self._operations = operations
        self._apply = apply

    async def refresh(self, managed: ManagedModel) -> bool:
        """See `ModelManager.refresh`."""
        if managed.waiting is Change.ENTRY:
            return await self.change_entry(managed, managed.wanted)
        info = await self._described_at_rest(managed, managed.wanted, Change.FILES)
        if info is None:
            return True
        managed.wanted_retry_at = 0.0
        unloaded = managed.registered.state is ModelState.UNLOADED
        if managed.registered.model is None and (managed.on_demand or unloaded):
            managed.change_unloaded(info)
            return True
        return await self._loads(managed)

    async def change_entry(self, managed: ManagedModel, entry: ModelEntry) -> bool:
        """Apply a new or changed entry, and load the model if that is needed. Return False if the load failed."""
        info = await self._described_at_rest(managed, entry, Change.ENTRY)
        if info is None:
            return True
        self._operations.disarm_idle_timer(managed)  # its time may have changed
        managed.want(entry)
        self._apply(managed, entry)
        same = managed.entry.version == entry.version and not managed.load_failed
        if managed.registered.model is not None and not same:
            return await self._loads(managed)
        if managed.registered.model is not None:
            managed.entry = entry
            self._operations.arm_idle_timer(managed)
            return True
        managed.change_unloaded(info)
        if managed.on_demand:
            return True
        is_loaded = await self._loads(managed)
        managed.registered.load_on_demand = None
        return is_loaded

    async def _described_at_rest(self, managed: ManagedModel, entry: ModelEntry, change: Change) -> ModelInfo | None:
        """Return the facts about the model of an entry when no operation of the model is running.

        Return None if the model must not change now: another change of the catalog has removed it meanwhile, or it is
        being unloaded. In that case, `ManagedModel.waiting` has the change.
        """
        while await self._operations.settled(managed):
            info = await described(entry)
            if managed.operation is None:
                managed.waiting = None
                return info if self._models.get(managed.name) is managed else None
        if managed.waiting is None:
            _log.info("model change waits", model=managed.name, why="it is being unloaded: its last requests still run")
        managed.waiting = change
        return None

    async def _loads(self, managed: ManagedModel) -> bool:
        """Load the wanted version. Return False if that fails."""
        return await error_of(self._operations.load(managed, managed.wanted)) is None
