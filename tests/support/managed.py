"""Models that a test server loads, swaps and unloads in the test process: real schedulers and requests, fast loads.

A load takes the tokenizer of the small model, and a score function that returns the number of the version.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakSet, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.engine.process_memory import ProcessMemory
from rerank_service.errors import BundleInvalid, MemoryTooSmall
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_manager import ModelManager, managing_models
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import Names, ServedModel
from rerank_service.ranking.document import Document
from rerank_service.ranking.request import RerankRequest
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch
from rerank_service.scheduling.caller import ANYBODY, Caller
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.lane_pool import LanePools
from rerank_service.scheduling.scheduler import Scheduler
from support.limits import batch_limits, request_limits
from support.running import DocumentReader, HeldScore

MB = 10**6


def entry(name: str, *, on_demand: bool = False, folder: str | None = None, **fields: object) -> ModelEntry:
    """Return an entry of a catalog. Its folder does not exist: `FakeStore` knows what is in it."""
    values: dict[str, object] = {
        "folder": Path("/bundles", folder or name),
        "name": name,
        "place": f"models.yaml, line {len(name)}",
        "load": Load.ON_DEMAND if on_demand else Load.START,
    }
    return ModelEntry(**(values | fields))  # type: ignore[arg-type]


class FakeStore:
    """The bundles that can be loaded, by folder, and the memory that they would take."""

    def __init__(self, base: ServedModel) -> None:
        self._base = base
        self.versions: dict[str, int] = {}
        """The version in a folder, by the name of the folder. A folder without one has version 1."""
        self.manifest_names: dict[str, str] = {}
        """The name in the manifest of a folder, by the name of the folder; otherwise that of the small model."""
        self.broken: set[str] = set()
        """Names of folders whose loads fail."""
        self.bytes: dict[str, int] = {}
        """Memory that a load takes, by the name of the folder; otherwise 100 MB."""
        self.other_bytes: dict[str, int] = {}
        """Memory that a load takes on another engine than that of a tuning, which fails, by the name of the folder."""
        self.limit = 0
        """Memory limit of the process; 0: none."""
        self.held: dict[int, int] = {}
        """Memory of the loaded models, by the id of their score functions."""
        self.loads: list[str] = []
        """Names of the folders whose loads began, in order."""
        self.scores: WeakValueDictionary[str, HeldScore] = WeakValueDictionary()
        """Score function of the last load of a folder, while it is loaded."""
        self.loaded_scores: WeakSet[HeldScore] = WeakSet()
        """Score functions of all loaded versions."""
        self._free = threading.Event()
        self._free.set()

    def hold(self) -> None:
        """From now on, let loads begin but not end."""
        self._free.clear()

    def release(self) -> None:
        """Let loads end again."""
        self._free.set()

    async def loading(self, count: int) -> None:
        """Wait until so many loads have begun."""
        async with asyncio.timeout(10):
            while len(self.loads) < count:
                await asyncio.sleep(0.001)

    def used(self) -> int:
        """Return the memory of all loaded models."""
        return sum(self.held.values())

    def limits(self) -> Sequence[MemoryLimit]:
        """Return the memory limits of the process."""
        left = max(0, self.limit - self.used())
        return (MemoryLimit(Path("/memory.max"), self.limit, left, self.limit),) if self.limit else ()

    def memory(self) -> ProcessMemory:
        """Return the memory of the process."""
        return ProcessMemory(self.used(), self.used())

    def select(self, options: ModelOptions) -> "FakeSelected":
        """Return the version in a folder."""
        name = options.folder.name
        base = self._base.bundle.manifest
        fields = {"name": self.manifest_names.get(name, base.name), "max_tokens": 32 + self.versions.get(name, 1)}
        return FakeSelected(self, Bundle(options.folder, base.model_copy(update=fields)), options.names)

    def load(self, bundle: Bundle, names: Names, size: int | None = None) -> ServedModel:
        """Return a loaded version, which takes `size` bytes; None: those in `bytes`. Blocks while the test holds
        loads."""
        name, version = bundle.folder.name, self.versions.get(bundle.folder.name, 1)
        self.loads.append(name)
        self._free.wait()
        if name in self.broken:
            raise BundleInvalid(f"{name} is broken")
        score = self.scores[name] = HeldScore(_Constant(self, version, size or self.bytes.get(name, 100 * MB)))
        self.loaded_scores.add(score)
        called = names.name or bundle.manifest.name
        info = replace(self._base.info, name=called, aliases=names.aliases, digest=bundle.digest)
        scheduler = Scheduler(score, batch_limits(), pad_id=0, lanes=4, cost=CostModel(), scores=None)
        return replace(self._base, info=info, bundle=bundle, scheduler=scheduler)


class _Constant:
    """A score function that returns the number of its version. Its memory is free when it is deleted."""

    def __init__(self, store: FakeStore, version: int, size: int) -> None:
        self._held = store.held
        self._version = version
        self._held[id(self)] = size

    def __call__(self, batch: Batch, _token: CancelToken) -> NDArray[np.float32]:
        return np.full(batch.rows, self._version, np.float32)

    def __del__(self) -> None:
        del self._held[id(self)]


@dataclass(frozen=True, slots=True)
class FakeSelected:
    """A folder that can be loaded."""

    store: FakeStore
    bundle: Bundle
    names: Names
    tuned: bool = True
    """True before the engine of a tuning has failed."""

    @property
    def _bytes(self) -> int:
        sizes = self.store.bytes if self.tuned else self.store.other_bytes
        return sizes.get(self.bundle.folder.name, 100 * MB)

    def may_exceed(self, limits: Sequence[MemoryLimit]) -> bool:
        """Compare with what the limits leave."""
        return any(self._bytes > limit.left for limit in limits)

    def check_memory(self, limits: Sequence[MemoryLimit], held: int = 0) -> None:
        """Compare with the limits."""
        if any(self._bytes + held > limit.limit for limit in limits):
            raise MemoryTooSmall(f"{self.bundle.folder.name} needs {self._bytes} beside {held}")

    def load_on_engine(self) -> ServedModel:
        """Return the loaded version."""
        if self.tuned and self.bundle.folder.name in self.store.other_bytes:
            raise BundleInvalid("the engine does not load")
        return self.store.load(self.bundle, self.names, self._bytes)

    def without_tuning(self, error: BundleInvalid) -> "FakeSelected | None":
        """Return the folder on the other engine, if it has one."""
        has_other = self.tuned and self.bundle.folder.name in self.store.other_bytes
        return replace(self, tuned=False) if has_other else None


@dataclass(frozen=True, slots=True)
class ManagedServer:
    """Models under management, and requests for them."""

    manager: ModelManager
    registry: Registry
    reranker: Reranker
    admissions: Admissions
    store: FakeStore

    async def rank(self, model: str = "", *, seconds: float = 60.0, caller: Caller = ANYBODY) -> int:
        """Rank a document. Return the number of the version that scored it."""
        documents = [Document("1", original="1")]
        ranking = await self.reranker.rerank(
            RerankRequest(query="0", model=model),
            documents,
            reader=DocumentReader(),
            deadline=Deadline.after(seconds),
            caller=caller,
        )
        return int(next(iter(ranking)).logit)

    def states(self) -> dict[str, str]:
        """Return the state of each model."""
        return {status.name: status.state.value for status in self.manager.statuses()}

    async def until(self, state: str, model: str) -> None:
        """Wait until a model has a state."""
        async with asyncio.timeout(10):
            while self.states().get(model) != state:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def managed(
    store: FakeStore, *entries: ModelEntry, hosted_patterns: Collection[str] = ()
) -> AsyncIterator[ManagedServer]:
    """Start a catalog, and manage its models during the block."""
    async with unstarted(store, hosted_patterns) as server:
        await server.manager.start(entries)
        yield server


@asynccontextmanager
async def unstarted(store: FakeStore, hosted_patterns: Collection[str] = ()) -> AsyncIterator[ManagedServer]:
    """Manage models during the block. There are none before `ModelManager.start`."""
    registry = Registry(hosted_patterns=hosted_patterns)
    limits = LiveLimits(1000, 1e9)
    admissions = Admissions(limits, asyncio.get_running_loop().time)
    capacity = ModelCapacity(LanePools(), admissions, limits)
    loader = VersionLoader(_options, select=store.select, read_limits=store.limits, read_memory=store.memory)
    async with managing_models(registry, loader, capacity) as manager:
        try:
            yield ManagedServer(manager, registry, Reranker(registry, admissions, request_limits()), admissions, store)
        finally:
            store.release()
            for score in list(store.loaded_scores):
                score.release()


def _options(entry: ModelEntry) -> ModelOptions:
    return ModelOptions(folder=entry.folder, cache=Path("/nowhere"), names=Names(entry.name, entry.aliases))
