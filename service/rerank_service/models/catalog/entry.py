"""One model of the catalog."""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from rerank_service.engine.kinds import Precision, Provider


class Load(Enum):
    """The time at which a model is loaded."""

    START = "start"
    """At the start of the server. It stays loaded."""
    ON_DEMAND = "on_demand"
    """At its first request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of the catalog, and how to run it."""

    folder: Path
    """Model folder, or a graph in a hub folder."""
    place: str
    """Origin of the entry for messages, such as `models.yaml, line 7`."""
    name: str | None = None
    """Name of the model in requests. None: the name in its manifest. Entries of `read_catalog` always have a name."""
    aliases: tuple[str, ...] = ()
    """Other names of the model in requests."""
    provider: Provider = Provider.AUTO
    """AUTO: the provider of the settings."""
    precision: Precision = Precision.AUTO
    """AUTO: the precision of the settings."""
    lanes: int | None = None
    """Number of batches that run at once. None: the number of the settings."""
    weight: float = 1.0
    """Share of the lanes, relative to other models."""
    max_live_documents: int | None = None
    """Maximum documents of live requests. None: the number of the settings."""
    max_live_tokens: int | None = None
    """Maximum tokens of live requests. None: the number of the settings."""
    load: Load = Load.START
    unload_after: float | None = None
    """Seconds without a request after which an ON_DEMAND model is unloaded. None: never."""
    digest: str | None = None
    """`Bundle.digest` that the bundle must have, in lower case. None: any."""

    def differs(self, other: "ModelEntry | None") -> bool:
        """Return whether another entry, or none, asks for something else. Its place does not count."""
        return other is None or replace(other, place=self.place) != self

    @property
    def version(self) -> tuple[object, ...]:
        """All values on which the result of a load depends, except the files in the folder."""
        return self.folder, self.digest, self.provider, self.precision, self.lanes

    @property
    def names(self) -> tuple[str, ...]:
        """The name, if it is known, and the aliases."""
        return (*(() if self.name is None else (self.name,)), *self.aliases)
