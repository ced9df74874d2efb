"""The models of a server by name, loaded or not."""

from collections.abc import Iterator, Mapping, Sequence

from rerank_service.error_text import excerpt
from rerank_service.errors import UnknownModel
from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.models.registry import Registry


class ManagedModels(Mapping[str, ManagedModel]):
    """The models of a server by name, the default model first. The registry knows the same models."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._by_name: dict[str, ManagedModel] = {}

    def __getitem__(self, name: str) -> ManagedModel:
        """Return the model with a name."""
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._by_name)

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self._by_name)

    def named(self, name: str) -> ManagedModel:
        """Return the model that an operator names. An alias is not a name.

        Raises:
            UnknownModel: no model has this name. The message lists the names.
        """
        if name not in self._by_name:
            raise UnknownModel(f"the server has no model {excerpt(name)!r}; it has: {', '.join(self)}")
        return self._by_name[name]

    def register(self, models: Sequence[ManagedModel]) -> None:
        """Have exactly these models from now on, in this order."""
        self._by_name = {managed.name: managed for managed in models}
        added = sum(not managed.in_catalog for managed in models)
        self._registry.register([managed.registered for managed in models], added=added)

    def remove(self, managed: ManagedModel) -> None:
        """Have a model no more."""
        self.register([other for other in self.values() if other is not managed])
