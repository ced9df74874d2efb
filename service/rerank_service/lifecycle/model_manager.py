"""The models of the catalog while the server runs: their start, the calls of an operator, changes of the catalog.

model_operations.py has the operations themselves: load, swap, unload.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from rerank_service.error_text import excerpt
from rerank_service.errors import NotReady, OperatorError
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.entry_facts import all_described, described
from rerank_service.lifecycle.leaving_models import LeavingModels
from rerank_service.lifecycle.managed_model import ADDED_BY_OPERATOR, ManagedModel
from rerank_service.lifecycle.managed_models import ManagedModels
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_changes import ModelChanges
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.lifecycle.model_control_errors import InCatalog, LoadConflict, NameTaken
from rerank_service.lifecycle.model_operations import ModelOperations, Outcome
from rerank_service.lifecycle.outcomes import error_of, finished
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.model_state import ModelState
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo

_log = structlog.get_logger()


class ModelManager:
    """Loads and unloads the models of a server. Implements `ModelControl`. Used on the event loop only."""

    def __init__(
        self, registry: Registry, loader: VersionLoader, capacity: ModelCapacity, tasks: asyncio.TaskGroup
    ) -> None:
        self._registry = registry
        self._capacity = capacity
        self._models = ManagedModels(registry)
        self._wants_ready = True
        self._draining = False
        self.operations = ModelOperations(self._models, loader, capacity, tasks)
        capacity.admissions.on_close = self.operations.drain
        self._leaving = LeavingModels(registry, self._start_removal)
        self._changes = ModelChanges(self._models, self.operations, self._apply)

    @property
    def models(self) -> Sequence[ManagedModel]:
        """All models, the default first."""
        return tuple(self._models.values())

    @property
    def ready(self) -> bool:
        """True if the server accepts requests for at least one model, and no operator has switched readiness off."""
        running = not (self.operations.starting or self._draining)
        return running and self._wants_ready and self._registry.accepts_requests

    @property
    def accepting(self) -> Mapping[str, bool]:
        """All names and aliases of models, with True if the model accepts requests."""
        return {name: owner.accepts_requests for name, owner in self._registry.owners.items()}

    async def start(self, entries: Sequence[ModelEntry]) -> None:
        """Register the models of a catalog, and load those that are loaded at the start, one after the other.

        An entry without a name gets the one in its manifest. The model keeps it, also when a later version of its
        folder has another one.

        Raises:
            BundleInvalid: a model cannot be served.
            MemoryTooSmall: a model does not fit into the memory limit beside the ones before it.
        """
        infos = [(entry, await described(entry)) for entry in entries]
        self._models.register([self._managed(replace(entry, name=info.name), info) for entry, info in infos])
        for managed in self.models:
            if not managed.on_demand and (error := await error_of(self._load(managed))) is not None:
                raise _with_place(error, managed.entry) if len(entries) > 1 else error
        self.operations.starting = False
        self._registry.changed()

    def drain(self) -> None:
        """Be not ready from now on, and reject calls of an operator: the server shuts down."""
        self._draining = True
        self._registry.changed()

    def statuses(self) -> Sequence[ModelStatus]:
        """See `ModelControl`."""
        return [managed.status() for managed in self.models]

    async def load(self, name: str, folder: Path | None = None) -> ModelStatus:
        """See `ModelControl`."""
        self._check_running()
        if folder is not None and name not in self._models:
            new = ModelEntry(folder=folder, place=ADDED_BY_OPERATOR, name=name)
            info = await described(new)
            self._check_running()
            if name not in self._models:  # else another call has added it meanwhile
                return await self._load_new(new, info)
        same = None if folder is None else await _entry_in(folder, self._models.named(name))
        managed = self._existing(name)
        entry = managed.wanted
        if same is not None:
            entry = replace(entry, folder=same.folder, digest=same.digest)
        elif folder is not None:
            entry = replace(entry, folder=folder, digest=None)  # the digest is that of the folder in the catalog
        outcome = self.operations.load(managed, entry)
        outcome.add_done_callback(partial(_want_loaded, managed, entry, managed.wanted))
        await finished(outcome)
        return managed.status()

    async def unload(self, name: str) -> ModelStatus:
        """See `ModelControl`."""
        managed = self._existing(name)
        if managed.registered.state is not ModelState.UNLOADED:
            await finished(self.operations.unload(managed, "unloaded by an operator"))
        return managed.status()

    async def remove(self, name: str) -> None:
        """See `ModelControl`."""
        managed = self._existing(name)
        if managed.in_catalog:
            raise InCatalog(
                f"model {excerpt(name)!r} is one of the server's settings ({managed.wanted.place}): remove it there"
            )
        if managed.registered.state is ModelState.UNLOADED and managed.operation is None:
            self._forget_in_state(managed, ModelState.UNLOADED)
            return
        outcome = self.operations.unload(managed, "removed by an operator")
        outcome.add_done_callback(lambda _: self._forget_in_state(managed, ModelState.UNLOADED))
        await finished(outcome)
        if self._models.get(name) is managed:
            raise LoadConflict(f"model {excerpt(name)!r} is needed again: another call or the models file loads it")

    async def set_readiness(self, *, ready: bool) -> None:
        """See `ModelControl`."""
        self._check_running()
        self._wants_ready = ready
        _log.info("readiness set by an operator", ready=ready)
        self._registry.changed()

    async def change_catalog(self, before: Sequence[ModelEntry], after: Sequence[ModelEntry]) -> list[str]:
        """Change from one catalog to another. Models that an operator added or changed stay as they are, unless their
        entries changed. Return the names of the models whose load failed, when all loads have ended. A model that is
        being unloaded changes afterwards, as with `refresh`.

        All names change at once. A name that passes to a model that is not loaded yet stays with the model that served
        it until then, even if the new catalog does not have that model.

        All entries have names, as those of `read_catalog`.
        """
        old = {entry.name: entry for entry in before}
        facts = await all_described(after)
        new = {name: entry for name, (entry, _) in facts.items()}
        # no await until all names are registered
        known = {name: self._known(name) or self._managed(*fact) for name, fact in facts.items()}
        removed = [managed for name, managed in self._models.items() if name in old and name not in new]
        added = [managed for name, managed in self._models.items() if name not in old and name not in new]
        changed = [name for name, entry in new.items() if entry.differs(old.get(name))]
        for name, entry in new.items():
            known[name].catalog = entry
        for name in changed:
            known[name].want(new[name])
            self._apply(known[name], new[name])
        for name in new.keys() - set(changed):
            known[name].move(new[name].place)
        self._models.register([*known.values(), *added])
        for managed in removed:
            self._leaving.add(managed)
        return [name for name in changed if not await self._changes.change_entry(known[name], new[name])]

    async def refresh(self, name: str) -> bool:
        """Load a model again whose folder has changed, if its digest is another one. Return False if the load failed;
        the log has the reason. A model that an operator has unloaded stays unloaded.

        A model that is being unloaded is not waited for: `ManagedModel.waiting` says that this must be called again.
        """
        managed = self._models.get(name)
        return managed is None or await self._changes.refresh(managed)

    def _known(self, name: str) -> ManagedModel | None:
        """Return a model with a name, also one that leaves the server."""
        return self._models.get(name) or self._leaving.take_back(name)

    def _managed(self, entry: ModelEntry, info: ModelInfo) -> ManagedModel:
        """Return a model that is not loaded."""
        managed = ManagedModel(entry, RegisteredModel(info))
        managed.registered.on_idle = partial(self.operations.arm_idle_timer, managed)
        self._apply(managed, entry)
        return managed

    def _apply(self, managed: ManagedModel, entry: ModelEntry) -> None:
        """Apply the fields of an entry that need no load: aliases, weight, limits and `load`."""
        if entry.load is Load.ON_DEMAND:
            managed.registered.load_on_demand = partial(self.operations.load_for_request, managed)
        elif managed.registered.model is not None:  # else requests may join the load that follows
            managed.registered.load_on_demand = None
        managed.registered.rename(entry.aliases)
        self._capacity.apply(managed.name, entry, managed.registered.model)

    def _load(self, managed: ManagedModel) -> Outcome:
        return self.operations.load(managed, managed.wanted)

    async def _load_new(self, entry: ModelEntry, info: ModelInfo) -> ModelStatus:
        """Load a model that no file has. If that fails, the server does not have it."""
        managed = self._managed(entry, info)
        owners = {name: other.name for other in self.models for name in other.registered.names}
        if managed.name in owners:
            raise NameTaken(f"{managed.name!r} is an alias of model {owners[managed.name]!r}: choose another name")
        self._models.register([*self.models, managed])
        outcome = self._load(managed)
        outcome.add_done_callback(lambda _: self._forget_in_state(managed, ModelState.FAILED))
        await finished(outcome)
        return managed.status()

    def _forget_in_state(self, managed: ManagedModel, state: ModelState) -> None:
        """Forget a model at the end of an operation, if it has this state and did not come into the catalog."""
        forgets = managed.operation is None and managed.registered.state is state and not managed.in_catalog
        if forgets and self._models.get(managed.name) is managed:
            self._models.remove(managed)
            self._capacity.forget(managed.name)

    def _start_removal(self, managed: ManagedModel) -> None:
        managed.registered.load_on_demand = None
        if not self.operations.stopping:
            self.operations.start_task(self._remove(managed))

    async def _remove(self, managed: ManagedModel) -> None:
        await self.operations.settled(managed)
        await error_of(self.operations.unload(managed, "not in the catalog any more"))
        if managed.name not in self._models:
            self._capacity.forget(managed.name)

    def _check_running(self) -> None:
        if self.operations.starting:
            raise NotReady("the server is starting: call again when it is ready")
        if self._draining:
            raise NotReady("the server is stopping")

    def _existing(self, name: str) -> ManagedModel:
        """Return a model that an operator names.

        Raises:
            NotReady, UnknownModel: see `ModelControl`.
        """
        self._check_running()
        return self._models.named(name)


@asynccontextmanager
async def managing_models(
    registry: Registry, loader: VersionLoader, capacity: ModelCapacity
) -> AsyncIterator[ModelManager]:
    """Manage models during the block. If a lane fails, cancel the block and raise the error of the lane."""
    try:
        async with asyncio.TaskGroup() as tasks:
            manager = ModelManager(registry, loader, capacity, tasks)
            try:
                yield manager
            finally:
                manager.operations.stop()
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        raise error from error.__cause__  # cli/storage_errors.py needs the cause


async def _entry_in(folder: Path, managed: ManagedModel) -> ModelEntry | None:
    """Return the entry of a model, in the catalog or wanted, that has a resolved folder. None: neither has it."""
    entries = [each for each in (managed.catalog, managed.wanted) if each is not None]
    resolved = await run_in_background(lambda: [each.folder.resolve() for each in entries])
    return next((each for each, path in zip(entries, resolved, strict=True) if path == folder), None)


def _with_place(error: Exception, entry: ModelEntry) -> Exception:
    """Return an error of an operator with the place of the entry in front. Other errors stay as they are."""
    return type(error)(f"{entry.place}: {error}") if isinstance(error, OperatorError) else error


def _want_loaded(managed: ManagedModel, entry: ModelEntry, before: ModelEntry, outcome: Outcome) -> None:
    """Want the entry that an operator has loaded, unless the catalog wants another one than before since then."""
    is_loaded = not outcome.cancelled() and outcome.result() is None
    if is_loaded and not managed.wanted.differs(before):
        managed.want(replace(entry, place=managed.wanted.place))
