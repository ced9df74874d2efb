"""The models of the server, by name."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import structlog

from rerank_service.error_text import excerpt
from rerank_service.errors import NotReady, UnknownModel
from rerank_service.models.hosted_patterns import HostedPatterns
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.served_model import ModelInfo, ServedModel

DEFAULT_NAMES = ("", "default")
"""Names that always mean the default model."""
_MAX_LOGGED = 100
"""Maximum number of names in log lines about accepted hosted names. It bounds memory and the log."""

_log = structlog.get_logger()


class Registry:
    """Models by name and alias, loaded or not. The first one is the default."""

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
            hosted_patterns: names that match these patterns, if the server has only one model, beside those that an
                operator added. With several models, a wrong name could be meant for any of them.
        """
        self._any_model = any_model
        self._default_names = frozenset((*DEFAULT_NAMES, *default_names))
        self._hosted_patterns = HostedPatterns(hosted_patterns)
        self._logged: set[str] = set()
        self._registered: list[RegisteredModel] = []
        self._added = 0
        """Number of these models that an operator added."""
        self._by_name: dict[str, RegisteredModel] = {}
        self._default: RegisteredModel | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def registered(self) -> Sequence[RegisteredModel]:
        """All models, the default first."""
        return self._registered

    @property
    def owners(self) -> Mapping[str, RegisteredModel]:
        """The model that gets the requests of each name and alias."""
        return self._by_name

    @property
    def reachable(self) -> Sequence[RegisteredModel]:
        """All models that requests get: the registered ones, and those that still serve in place of one of them."""
        kept = [*self._by_name.values(), *([] if self._default is None else [self._default])]
        return tuple(dict.fromkeys((*self._registered, *kept)))

    @property
    def accepts_requests(self) -> bool:
        """True if a model accepts requests, of any name or without a name."""
        return any(model.accepts_requests for model in self.reachable)

    def names_of(self, model: RegisteredModel) -> Iterator[str]:
        """Yield all names by which requests reach a model: its own, and those that it keeps for its successor."""
        kept = (name for name, owner in self._by_name.items() if owner is model)
        yield from dict.fromkeys((*model.names, *kept))

    def is_used(self, model: RegisteredModel) -> bool:
        """Return True if requests of any name, or without a name, get a model."""
        return model is self._default or any(owner is model for owner in self._by_name.values())

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a model is added or removed, or changes its names or its state."""
        self._listeners.append(listener)

    def register(self, models: Sequence[RegisteredModel], *, added: int = 0) -> None:
        """Know exactly these models from now on, in this order. Of two models with a name, the first one has it.
        `added` is the number of them that an operator added.

        A model that accepts requests for a name, or as the default, does so until its successor accepts them. So no
        request is lost while the successor is loading.
        """
        self._registered, self._added = list(models), added
        for model in models:
            model.on_change = self.changed
        self.changed()

    def changed(self) -> None:
        """Look up the names of all models again, and call the listeners."""
        owners: dict[str, RegisteredModel] = {}
        for model in self._registered:
            for name in model.names:
                owners.setdefault(name, model)
        self._by_name = {name: _owner(self._by_name.get(name), model) for name, model in owners.items()}
        self._default = _owner(self._default, self._registered[0]) if self._registered else None
        for listener in self._listeners:
            listener()

    def add(self, model: ServedModel) -> None:
        """Serve a loaded model under its names, in place of the version that has had its name."""
        registered = next((each for each in self._registered if each.name == model.info.name), None)
        if registered is None:
            registered = RegisteredModel(model.info)
            self.register([*self._registered, registered])
        registered.rename(model.info.aliases)
        registered.serve(model)

    def find(self, name: str) -> RegisteredModel:
        """Return the model that a request names, loaded or not.

        Raises:
            NotReady: no model accepts requests yet, and none has this name.
            UnknownModel: no model has this name; the message lists the names that are served.
        """
        default = self._default
        if default is None:
            raise NotReady("the model is loading")
        if name in self._by_name:
            return self._by_name[name]
        if self._any_model or name in self._default_names:
            return default
        if len(self._registered) - self._added == 1 and self._hosted_patterns.accepts(name, self._by_name):
            self._log_hosted(name, default)
            return default
        if not self.accepts_requests:
            raise NotReady("the model is loading")
        raise UnknownModel(f"model {excerpt(name)!r} is not served here; served: {', '.join(self._by_name)}")

    def _log_hosted(self, name: str, model: RegisteredModel) -> None:
        """Log once that a name is accepted by its form alone: it may be a mistake."""
        if name not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(name)
            _log.info("hosted name accepted", name=name, model=model.name)

    def infos(self) -> list[ModelInfo]:
        """Return the facts about all models, loaded or not, the default first."""
        return [each.info for each in self._registered]


def _owner(before: RegisteredModel | None, after: RegisteredModel) -> RegisteredModel:
    """Return the model that gets the requests of a name that passes from one model to another, or stays."""
    waits = before is not None and before.accepts_requests and not after.accepts_requests
    return before if before is not None and waits else after
