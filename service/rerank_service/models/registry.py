"""The served models, by name."""

from collections.abc import Collection

import structlog

from rerank_service.errors import NotReady, UnknownModel, excerpt
from rerank_service.models.hosted_patterns import HostedPatterns
from rerank_service.models.served_model import ServedModel

DEFAULT_NAMES = ("", "default")
"""Names that always mean the default model."""
_MAX_LOGGED = 100
"""Maximum number of names in log lines about accepted hosted names. It bounds memory and the log."""

_log = structlog.get_logger()


class Registry:
    """Models by name and alias. The first model added is the default."""

    def __init__(
        self,
        *,
        any_model: bool = False,
        default_names: Collection[str] = (),
        hosted_patterns: Collection[str] = (),
    ) -> None:
        """Select the names that mean the default model, beside its own.

        Args:
            any_model: every name that no model has.
            default_names: these names.
            hosted_patterns: names that match these patterns, if the server has only one model. With several models, a
                wrong name could be meant for any of them.
        """
        self._any_model = any_model
        self._default_names = frozenset((*DEFAULT_NAMES, *default_names))
        self._hosted_patterns = HostedPatterns(hosted_patterns)
        self._logged: set[str] = set()
        self._models: dict[str, ServedModel] = {}

    def add(self, model: ServedModel) -> None:
        """Serve a model under its name and aliases, in place of any model of these names. It continues the totals of
        the model that has had its name."""
        if (earlier := self._models.get(model.info.name)) is not None:
            model.scheduler.work = earlier.scheduler.work
        for name in model.info.names:
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
        if len(self.models()) == 1 and self._hosted_patterns.accepts(name, self._models):
            self._log_hosted(name, default)
            return default
        raise UnknownModel(f"model {excerpt(name)!r} is not served here; served: {', '.join(self._models)}")

    def _log_hosted(self, name: str, model: ServedModel) -> None:
        """Log once that a name is accepted by its form alone: it may be a mistake."""
        if name not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(name)
            _log.info("hosted name accepted", name=name, model=model.info.name)

    def models(self) -> list[ServedModel]:
        """Return each model once, the default first."""
        return list({id(model): model for model in self._models.values()}.values())
