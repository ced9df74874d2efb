"""A model of the catalog with everything that its loading and unloading need."""

import asyncio
from dataclasses import dataclass, field, replace
from enum import Enum

from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.model_state import ModelState
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.served_model import ModelInfo, ServedModel

ADDED_BY_OPERATOR = "added by an operator"
"""Place of an entry that is in no file and no setting."""
UNLOADING = "unloading"
"""The work of an operation that unloads."""


class Change(Enum):
    """The kinds of changes of a model in the files of the server."""

    ENTRY = "entry"
    FILES = "files"
    """The files in its folder. The entry is the same."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A load or an unload that runs."""

    what: str
    """The work, for messages: `loading FOLDER`, or `UNLOADING`."""
    task: asyncio.Task[Exception | None]
    """Returns the error that ended the work. It raises only CancelledError, at the end of the server."""
    awaited: asyncio.Future[None]
    """Requests wait for it. Done when the work has ended, or when the server accepts no more requests."""

    @property
    def unloads(self) -> bool:
        """True if it unloads the model. It takes as long as the accepted requests."""
        return self.what == UNLOADING

    def release_requests(self, _task: object = None) -> None:
        """Let requests wait no longer."""
        if not self.awaited.done():
            self.awaited.set_result(None)


@dataclass(slots=True)
class ManagedModel:
    """A model of the catalog. At most one operation of it runs at a time. Used on the event loop only."""

    entry: ModelEntry
    """Folder and engine of the version that serves, else of the last one. The same as `wanted` until one has served."""
    registered: RegisteredModel
    wanted: ModelEntry = field(init=False)
    """The entry that the catalog or an operator wants. Its weight, limits, aliases and times of loading hold at once.

    Folder and engine differ from those of `entry` until it is loaded, and after a failed load."""
    catalog: ModelEntry | None = field(init=False, default=None)
    """The entry of the catalog. An operator may return to it. None: an operator has added the model."""
    digest: str = field(init=False, default="")
    """Digest of the version that serves, else of the last one."""
    operation: Operation | None = field(init=False, default=None)
    lanes: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    """Tasks of the versions that are loaded: the one that serves, and earlier ones with live requests."""
    wanted_retry_at: float = field(init=False, default=0.0)
    """Time on the event loop's clock before which requests do not load `wanted` again. 0: there was no failure."""
    entry_retry_at: float = field(init=False, default=0.0)
    """The same for `entry`."""
    has_served: bool = field(init=False, default=False)
    """True if a version was loaded."""
    waiting: Change | None = field(init=False, default=None)
    """A change that is applied when the model is unloaded. None: there is none."""
    idle_timer: asyncio.TimerHandle | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.wanted = self.entry
        self.catalog = self.entry if self.in_catalog else None

    def want(self, entry: ModelEntry) -> None:
        """Want another entry from now on. The failure of another version does not count for it."""
        if entry.version != self.wanted.version:
            self.wanted_retry_at = 0.0
        self.wanted = entry

    def loaded(self, entry: ModelEntry) -> None:
        """Note that the version of an entry is loaded. If it is not the wanted one, that stays wanted.

        The catalog may have got the model, or moved its entry, since the load began: the place is the latest one.
        """
        self.entry, self.entry_retry_at = replace(entry, place=self.wanted.place), 0.0
        self.has_served = True
        if entry.version == self.wanted.version:
            self.wanted_retry_at = 0.0

    def failed(self, entry: ModelEntry, retry_at: float) -> None:
        """Note that the load of an entry failed. Requests may load it again at `retry_at`."""
        if entry.version == self.wanted.version:
            self.wanted_retry_at = retry_at
        if entry.version == self.entry.version:
            self.entry_retry_at = retry_at

    def move(self, place: str) -> None:
        """Note the new place of its entry in the catalog."""
        self.entry, self.wanted = replace(self.entry, place=place), replace(self.wanted, place=place)

    def change_unloaded(self, info: ModelInfo) -> None:
        """Let the next load, of a model without a version, be that of `wanted`. `info` describes it.

        If that fails, the one after it is that of the last version that served.
        """
        self.entry_retry_at, self.wanted_retry_at = 0.0, 0.0
        if not self.has_served:
            self.entry = self.wanted
        self.registered.describe(info)
        if self.on_demand:
            self.registered.change_state(ModelState.UNLOADED)

    @property
    def next_load(self) -> ModelEntry:
        """The entry that a request loads: `wanted`, or the last version if the load of `wanted` failed. If both failed,
        the one that may be tried again first."""
        return self.wanted if self.wanted_retry_at <= self.entry_retry_at else self.entry

    @property
    def retry_at(self) -> float:
        """Time on the event loop's clock before which requests load nothing. 0: there was no failure."""
        return min(self.wanted_retry_at, self.entry_retry_at)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.registered.name

    @property
    def in_catalog(self) -> bool:
        """True if the settings or the models file have the model. False: an operator has added it."""
        return self.wanted.place != ADDED_BY_OPERATOR

    @property
    def on_demand(self) -> bool:
        """True if requests load the model."""
        return self.wanted.load is Load.ON_DEMAND

    @property
    def awaited(self) -> asyncio.Future[None]:
        """The future that requests wait for while an operation is running."""
        assert self.operation is not None
        return self.operation.awaited

    @property
    def is_idle(self) -> bool:
        """True if the model may be unloaded without harm: on demand, loaded, without requests, and at rest."""
        registered = self.registered
        loaded = self.on_demand and registered.model is not None
        return loaded and not registered.live_requests and self.operation is None

    @property
    def load_failed(self) -> bool:
        """True if the last load of `wanted` failed, and its files are the same since then."""
        return self.wanted_retry_at > 0

    def serves(self, model: ServedModel) -> bool:
        """Return True if a version takes the new requests of the model."""
        serving = self.registered.model
        return serving is not None and serving.scheduler is model.scheduler

    def runs_as(self, entry: ModelEntry) -> bool:
        """Return True if the version that serves runs on an engine as an entry requests it."""
        own = self.entry
        engine = (own.provider, own.precision, own.lanes) == (entry.provider, entry.precision, entry.lanes)
        return engine and self.registered.model is not None

    def status(self) -> ModelStatus:
        """Return the model at this time."""
        registered = self.registered
        return ModelStatus(
            name=self.name,
            aliases=registered.info.aliases,
            folder=(self.entry if registered.model is not None else self.next_load).folder,
            catalog_folder=None if self.catalog is None else self.catalog.folder,
            state=registered.state,
            reason=registered.reason,
            digest=self.digest,
            on_demand=self.on_demand,
            weight=self.wanted.weight,
            memory_bytes=registered.memory_bytes,
            live_requests=registered.live_requests,
            info=registered.info if registered.model is not None else None,
        )
