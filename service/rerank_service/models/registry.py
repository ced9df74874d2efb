"""The served models, by name."""

from collections.abc import Collection

from rerank_service.errors import NotReady, UnknownModel, excerpt
from rerank_service.models.served_model import ServedModel

DEFAULT_NAMES = ("", "default")
"""Names that always mean the default model."""


class Registry:
    """Models by name and alias. The first model added is the default."""

    def __init__(self, *, any_model: bool = False, default_names: Collection[str] = ()) -> None:
        """With `any_model`, an unknown name means the default model; else only a name in `default_names` does."""
        self._any_model = any_model
        self._default_names = frozenset((*DEFAULT_NAMES, *default_names))
        self._models: dict[str, ServedModel] = {}

    def add(self, model: ServedModel) -> None:
        """Serve a model under its name and aliases, in place of any model of these names."""
        for name in (model.info.name, *model.info.aliases):
            self._models[name] = model

    def default(self) -> ServedModel:
        """Return the default model: the one that was added first, or the one that replaced it.

        Raises:
            NotReady: no model is loaded yet.
        """
        if not self._models:
            raise NotReady("the model is loading")
        return next(iter(self._models.values()))

    def get(self, name: str) -> ServedModel:
        """Return the model that a request names.

        Raises:
            NotReady: no model is loaded yet.
            UnknownModel: no model has this name; the message lists the names that are served.
        """
        default = self.default()
        if name in self._models:
            return self._models[name]
        if self._any_model or name in self._default_names:
            return default
        raise UnknownModel(f"model {excerpt(name)!r} is not served here; served: {', '.join(self._models)}")

    def models(self) -> list[ServedModel]:
        """Return each model once, the default first."""
        return list({id(model): model for model in self._models.values()}.values())
