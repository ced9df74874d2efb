"""Models that the catalog does not have any more, and that still serve names whose new models are not loaded."""

from collections.abc import Callable

import structlog

from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.models.registry import Registry

_log = structlog.get_logger()


class LeavingModels:
    """Removes models when no request can reach them. Used on the event loop only."""

    def __init__(self, registry: Registry, remove: Callable[[ManagedModel], None]) -> None:
        """`remove` unloads a model. It is called once for each."""
        self._registry = registry
        self._remove = remove
        self._models: dict[str, ManagedModel] = {}
        registry.on_change(self._remove_unused)

    def add(self, managed: ManagedModel) -> None:
        """Remove a model that is not registered any more, as soon as other models have taken its names."""
        self._models[managed.name] = managed
        self._remove_unused()
        if managed.name in self._models:
            names = [name for name, owner in self._registry.owners.items() if owner is managed.registered]
            _log.info(
                "model kept",
                model=managed.name,
                names=names or ["default"],  # it can be reached, so it is the default model
                why="not in the catalog any more, but it serves until the new model of its names is loaded",
            )

    def take_back(self, name: str) -> ManagedModel | None:
        """Return a model that is in the catalog again, and do not remove it."""
        return self._models.pop(name, None)

    def _remove_unused(self) -> None:
        for managed in list(self._models.values()):
            if not self._registry.is_used(managed.registered):
                del self._models[managed.name]
                self._remove(managed)
