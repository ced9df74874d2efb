"""The two operations on a model: load (or swap to a new version), and unload.

Rule 1: a model has at most one operation at a time. An equal one joins it, a different one is rejected.
Rule 2: an operation is a task of the server. It continues if the call or the request that started it is cancelled.
Rule 3: a version takes requests only when it is loaded, warmed up and checked. The version before it finishes its own
requests; then its lanes end, and its memory is freed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog

from rerank_service.error_text import one_line
from rerank_service.errors import NotReady, OperatorError
from rerank_service.lifecycle.freed_memory import give_back_freed_memory
from rerank_service.lifecycle.managed_model import UNLOADING, ManagedModel, Operation
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_control_errors import LoadConflict
from rerank_service.lifecycle.room import Room, RoomNeeded
from rerank_service.lifecycle.tuner import NoTuner, Tuner
from rerank_service.lifecycle.version_loading import Version, VersionLoader
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ServedModel

RETRY_SECONDS = 10.0
"""Seconds after a failed load in which requests do not start another load of the model."""
DIGEST_DIGITS = 12
"""Number of logged digits of a digest."""
_log = structlog.get_logger()

Outcome = asyncio.Task[Exception | None]
"""The task of an operation. It returns the error of the operation, and raises only CancelledError, when the server
ends."""


class ModelOperations:
    """Loads and unloads models. Used on the event loop only."""

    def __init__(
        self,
        models: Mapping[str, ManagedModel],
        loader: VersionLoader,
        capacity: ModelCapacity,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`models` are all models of the server. `tasks` runs operations and lanes; the error of a lane ends it."""
        self._models = models
        self.loader = loader
        self._capacity = capacity
        self._tasks = tasks
        self._clock = asyncio.get_running_loop().time
        self._running: set[asyncio.Task[Any]] = set()
        self._operations: set[Operation] = set()
        self._room = Room(models, self.unload)
        self.starting = True
        """True until the models of the start are loaded. The server logs `ready` then, or the error that ends it."""
        self.draining = False
        """True when the server accepts no more requests."""
        self.stopping = False
        """True while the server shuts down. No request loads a model then."""
        self.tuner: Tuner = NoTuner()
        """Tunes the versions that serve."""

    def load(self, managed: ManagedModel, entry: ModelEntry) -> Outcome:
        """Load the version of an entry, and let it take the requests of the model. Join a load of the same entry.

        Raises:
            LoadConflict: another operation of the model is running.
        """
        return self._operate(managed, f"loading {entry.folder}", partial(self._load, managed, entry))

    def unload(self, managed: ManagedModel, reason: str) -> Outcome:
        """Finish the requests of a model, and free its memory.

        Raises:
            LoadConflict: the model is being loaded.
        """
        unload = self._operate(managed, UNLOADING, partial(self._unload, managed, reason))
        self._room.expect(unload)
        return unload

    def load_for_request(self, managed: ManagedModel) -> asyncio.Future[None]:
        """Load an on-demand model because of a request, or join the operation that is running. Return a future that is
        done when the operation has ended. The wanted entry stays.

        Raises:
            NotReady: the last load failed some seconds ago, or the server accepts no more requests.
        """
        if self.stopping or self.draining:
            raise NotReady("the server is draining: send the request to another replica")
        if managed.operation is None:
            self._check_retry(managed)
            self.load(managed, managed.next_load)
        return managed.awaited

    def _check_retry(self, managed: ManagedModel) -> None:
        wait = managed.retry_at - self._clock()
        if wait > 0:
            raise NotReady(
                f"model {managed.name!r} could not be loaded: the log of the server has the reason", retry_after=wait
            )

    def drain(self) -> None:
        """Reject the requests that wait for a load, which would be rejected after it, and load nothing for others."""
        self.draining = True
        for operation in self._operations:
            operation.release_requests()

    async def swap(self, managed: ManagedModel, before: ServedModel, version: Version) -> bool:
        """Let a version take the requests of a model in place of `before`. Return False if that serves no more."""
        if not await self.settled(managed) or not managed.serves(before):
            return False
        self._serve(managed, version)
        return True

    async def settled(self, managed: ManagedModel) -> bool:
        """Wait until no operation of the model is running. Return False at once if it is being unloaded, which may take
        hours."""
        while managed.operation is not None and not managed.operation.unloads:
            await asyncio.wait([managed.operation.task])
        return managed.operation is None

    def stop(self) -> None:
        """Stop all operations and all lanes. A batch that is running finishes; no lane takes another one."""
        self.stopping = True
        for managed in self._models.values():
            self.disarm_idle_timer(managed)
        for task in self._running:
            task.cancel()

    def arm_idle_timer(self, managed: ManagedModel) -> None:
        """Unload a model when no request has used it for the time in its entry."""
        seconds = managed.wanted.unload_after
        if self.stopping or seconds is None or not managed.is_idle or managed.idle_timer is not None:
            return
        due = max(self._clock(), managed.registered.last_used + seconds)
        managed.idle_timer = asyncio.get_running_loop().call_at(due, self._unload_if_idle, managed)

    def disarm_idle_timer(self, managed: ManagedModel) -> None:
        """Forget the time at which a model would be unloaded."""
        if managed.idle_timer is not None:
            managed.idle_timer.cancel()
            managed.idle_timer = None

    def _unload_if_idle(self, managed: ManagedModel) -> None:
        managed.idle_timer = None
        seconds = managed.wanted.unload_after
        if seconds is None or not managed.is_idle or self.stopping:
            return
        if self.tuner.tunes(managed):
            return  # an unload would wait for the tuning, whose end arms the timer again
        if self._clock() < managed.registered.last_used + seconds:
            self.arm_idle_timer(managed)
        else:
            self.unload(managed, f"no request in {seconds:g} s")

    def start_task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a task until `stop`."""
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _operate(
        self, managed: ManagedModel, what: str, work: Callable[[], Coroutine[Any, Any, Exception | None]]
    ) -> Outcome:
        if managed.operation is not None:
            if managed.operation.what == what:
                return managed.operation.task
            raise LoadConflict(f"model {managed.name!r} is busy ({managed.operation.what}): call again when it is done")

        async def run() -> Exception | None:
            try:
                return await work()
            finally:
                managed.operation = None
                self._operations.discard(operation)
                self.arm_idle_timer(managed)

        task = self.start_task(run())
        operation = managed.operation = Operation(what, task, asyncio.get_running_loop().create_future())
        self._operations.add(operation)
        task.add_done_callback(operation.release_requests)
        return task

    async def _load(self, managed: ManagedModel, entry: ModelEntry) -> Exception | None:
        registered = managed.registered
        if registered.model is None:
            registered.change_state(ModelState.LOADING)
        same = managed.digest if managed.runs_as(entry) else ""
        needed = RoomNeeded(managed, self.tuner)
        try:
            version = await self.loader.load(entry, same, lambda: self._room.make(needed))
        except Exception as error:  # noqa: BLE001 - the version that serves continues
            self._failed(managed, entry, error)
            return error
        managed.loaded(entry)
        if version is None:
            registered.change_state(ModelState.READY)
        else:
            self._serve(managed, version)
            self._log_served(managed)
            self.tuner.add(managed)
        return None

    def _log_served(self, managed: ManagedModel) -> None:
        if self.starting and len(self._models) == 1:
            return  # the event `ready` has the same
        info = managed.registered.info
        _log.info(
            "model swapped" if len(managed.lanes) > 1 else "model loaded",
            model=managed.name,
            folder=str(managed.entry.folder),
            digest=managed.digest[:DIGEST_DIGITS],
            provider=info.provider,
            precision=info.precision,
            why=info.reason,
            lanes=info.lanes,
            memory_mb=None if info.memory_bytes is None else round(info.memory_bytes / 10**6),
        )

    def _failed(self, managed: ManagedModel, entry: ModelEntry, error: Exception) -> None:
        registered = managed.registered
        serves = registered.model is not None
        managed.failed(entry, self._clock() + RETRY_SECONDS)
        reason = f"{entry.folder} was not loaded: {one_line(error)}"
        registered.change_state(ModelState.READY if serves else ModelState.FAILED, reason)
        if not serves:
            asyncio.get_running_loop().call_at(managed.retry_at, self._accept_again, managed, managed.retry_at)
        if managed.on_demand or not self.starting:  # else the error ends the start, and is logged then
            _log.error(
                "model not loaded",
                model=managed.name,
                folder=str(entry.folder),
                why=one_line(error),
                still_serving=managed.digest[:DIGEST_DIGITS] if serves else "nothing",
                exc_info=None if isinstance(error, OperatorError) else error,
            )

    def _accept_again(self, managed: ManagedModel, retry_at: float) -> None:
        """Let requests load a model again after a failed load. Clients that check health first would never do it."""
        registered = managed.registered
        if managed.on_demand and registered.state is ModelState.FAILED and managed.retry_at == retry_at:
            registered.change_state(ModelState.UNLOADED, registered.reason)

    def _serve(self, managed: ManagedModel, version: Version) -> None:
        registered, model = managed.registered, version.model
        earlier = registered.model
        lanes = self.start_task(self._run_lanes(managed, model))
        managed.lanes.add(lanes)
        lanes.add_done_callback(managed.lanes.discard)
        registered.last_used = self._clock()
        managed.digest = model.bundle.digest
        registered.serve(model, version.memory_bytes)
        if earlier is not None:
            earlier.scheduler.retire()
            self.tuner.retire(managed)

    async def _run_lanes(self, managed: ManagedModel, model: ServedModel) -> None:
        """Run the batches of a version until its last request has ended. Then free its memory."""
        await self._capacity.run_lanes(model, managed.wanted.weight)
        del model  # the last reference to a version that is replaced or unloaded
        await give_back_freed_memory()

    async def _unload(self, managed: ManagedModel, reason: str) -> None:
        registered = managed.registered
        model = registered.stop_serving()
        if model is not None:
            registered.change_state(ModelState.DRAINING, reason)
            model.scheduler.retire()
            self.tuner.retire(managed)
        del model  # its memory is freed when its lanes end
        if managed.lanes:
            await asyncio.wait(managed.lanes)
        await self.tuner.ended(managed)  # it may have used the version
        registered.change_state(ModelState.UNLOADED, reason)
        _log.info("model unloaded", model=managed.name, why=reason)
