"""The holder of an API key: its models, its limits and its share of the lanes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rerank_service.errors import ModelNotAllowed
from rerank_service.scheduling.quota import Quota


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of an API key."""

    name: str = ""
    """Name of the key in the log. Empty for a key without a name, and if the server requires no key."""
    weight: float = 1.0
    """Share of the lanes that each request of the caller gets, relative to a request of weight 1."""
    models: frozenset[str] | None = None
    """Names or aliases of the models that the caller may use. None: all."""
    admin: bool = False
    """True if the caller may change the server."""
    quota: Quota = field(default_factory=Quota, compare=False, repr=False)
    """The limits of the key and their counters, the same object for all its requests."""

    def may_use(self, names: Iterable[str]) -> bool:
        """Return whether the caller may use the model with these names."""
        return self.models is None or not self.models.isdisjoint(names)

    def check_model(self, names: Iterable[str]) -> None:
        """Check that the caller may use the model with these names.

        Raises:
            ModelNotAllowed: it may not. The message has the names that the key may use.
        """
        if self.models is None:
            return
        names = tuple(names)
        if not self.may_use(names):
            raise ModelNotAllowed(f"the API key may not use model {names[0]!r}: use {' or '.join(sorted(self.models))}")


ANYBODY = Caller()
"""The caller of requests without an API key."""
