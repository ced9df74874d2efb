"""A model that the server knows by its names, whether or not a version of it is loaded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from rerank_service.errors import NotReady
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.totals import WorkCounter

_WAIT_SHARE = 0.9
"""Share of its remaining time that a request waits for its model. The rest is for the response."""
_LOADING_RETRY = 5.0
"""Seconds after which a client should retry whose request waited for a load in vain."""

LoadOnDemand = Callable[[], asyncio.Future[Any]]
"""Starts to load the model, or joins a load that runs. The future never has an exception.

Raises NotReady if the model cannot be loaded now."""


def _ignore() -> None:
    """Do nothing."""


class RegisteredModel:
    """A model by its names, and the version of it that takes requests. Used on the event loop only.

    The version may change, and there may be none. Names, totals and live requests belong to the model.
    """

    def __init__(self, info: ModelInfo, state: ModelState = ModelState.UNLOADED) -> None:
        """`info` has the names, and the facts that are known before a version is loaded."""
        self._info = info
        self._state = state
        self.reason = ""
        """Why the model has this state, or why its last load failed while an earlier version serves. One line."""
        self.model: ServedModel | None = None
        """The version that takes new requests."""
        self.memory_bytes: int | None = None
        """Measured memory of that version. None: not measured, or no version is loaded."""
        self.work = WorkCounter()
        """Totals of all versions."""
        self.live_requests = 0
        """Requests on all versions, and requests that wait for a load."""
        self.last_used = 0.0
        """Time on the event loop's clock at which the last request ended."""
        self.load_on_demand: LoadOnDemand | None = None
        """None: a request does not load the model."""
        self.on_idle: Callable[[], None] = _ignore
        """Called when the last live request has ended."""
        self.on_change: Callable[[], None] = _ignore
        """Called when the state changes. The registry sets it."""
        self._schedulers: WeakSet[Scheduler] = WeakSet()
        """Schedulers of the version that serves, and of earlier ones with live requests."""

    @property
    def name(self) -> str:
        """Name of the model. It never changes."""
        return self._info.name

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return self._info.names

    @property
    def state(self) -> ModelState:
        """The state of the model."""
        return self._state

    @property
    def accepts_requests(self) -> bool:
        """True if a version serves, or if a request loads one."""
        loads = self.load_on_demand is not None and self._state is not ModelState.FAILED
        return self.model is not None or loads

    @property
    def has_lanes(self) -> bool:
        """True if a version serves, or finishes its requests because the model is being unloaded."""
        return self.model is not None or self._state is ModelState.DRAINING

    def scheduled_requests(self) -> tuple[int, int]:
        """Return the number of requests that wait, and of those that need a running batch, on all versions."""
        counts = [each.live_requests() for each in self._schedulers]
        return sum(waiting for waiting, _ in counts), sum(running for _, running in counts)

    @property
    def info(self) -> ModelInfo:
        """Facts about the version that serves, else about the last one, with the current state."""
        return replace(self._info, state=self._state, ready=self.accepts_requests, memory_bytes=self.memory_bytes)

    def serve(self, model: ServedModel, memory_bytes: int | None = None) -> None:
        """Send new requests to this version. It has the names of this model, and continues its totals."""
        model.scheduler.work = self.work
        self._schedulers.add(model.scheduler)
        self.memory_bytes = memory_bytes
        self.describe(model.info, model)
        self.change_state(ModelState.READY)

    def describe(self, info: ModelInfo, model: ServedModel | None = None) -> None:
        """Replace the facts about the model, except its names."""
        self._info = replace(info, name=self.name, aliases=self._info.aliases)
        model = model or self.model
        if model is not None and model.info != self._info:
            model = replace(model, info=self._info)
        self.model = model

    def rename(self, aliases: tuple[str, ...]) -> None:
        """Replace the aliases. The version stays. Requests find them after `Registry.changed`."""
        if aliases != self._info.aliases:
            self._info = replace(self._info, aliases=aliases)
            self.describe(self._info)

    def stop_serving(self) -> ServedModel | None:
        """Send no more requests to the version that serves, and return it. Its live requests continue."""
        model, self.model, self.memory_bytes = self.model, None, None
        return model

    def change_state(self, state: ModelState, reason: str = "") -> None:
        """Set the state and the reason for it."""
        self.reason = reason
        self._state = state
        self.on_change()

    @asynccontextmanager
    async def use(self, deadline: Deadline) -> AsyncIterator[ServedModel]:
        """Yield the version that serves. It stays loaded until the block ends. If a request loads the model, wait
        for that first.

        Raises:
            NotReady: no version serves, or none was loaded within the deadline.
        """
        self.live_requests += 1
        try:
            while (model := self.model) is None:
                await self._loaded(deadline)
            with model.scheduler.in_use():
                yield model
        finally:
            self.live_requests -= 1
            self.last_used = asyncio.get_running_loop().time()
            if not self.live_requests:
                self.on_idle()

    async def _loaded(self, deadline: Deadline) -> None:
        """Wait until a load ends. It continues if the request is cancelled."""
        if self.load_on_demand is None:
            raise self._not_ready()
        loading = self.load_on_demand()
        seconds = _WAIT_SHARE * (deadline.at - asyncio.get_running_loop().time())
        if not (await asyncio.wait([loading], timeout=max(0.0, seconds)))[0]:
            raise NotReady(
                f"model {self.name!r} is still loading: retry, or set a longer timeout", retry_after=_LOADING_RETRY
            )

    def _not_ready(self) -> NotReady:
        match self._state:
            case ModelState.LOADING:
                return NotReady("the model is loading")
            case ModelState.FAILED:
                return NotReady(f"model {self.name!r} could not be loaded: the log of the server has the reason")
            case _:
                return NotReady(f"model {self.name!r} is not loaded: ask the operator of the server to load it")
