"""Look for a faster engine for each loaded model in the background, one model after the other, and change to it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from rerank_service.error_text import one_line
from rerank_service.errors import OperatorError
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.freed_memory import give_back_freed_memory
from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.lifecycle.version_loading import Version
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.improve import FasterModel, Improvement, LoadChosen, SameEngine

_log = structlog.get_logger()

ChooseFaster = Callable[[ModelEntry, ServedModel, threading.Event], LoadChosen | None]
"""Blocking function that chooses a faster engine for the version that serves. It gives up when the event is set.

Returns a function that loads the version on that engine, or None to change nothing."""


class BackgroundTuning:
    """Tunes the models that are loaded. Used on the event loop only."""

    def __init__(self, manager: ModelManager, choose_faster: ChooseFaster) -> None:
        self._manager = manager
        self._choose_faster = choose_faster
        self._waiting: asyncio.Queue[ManagedModel] = asyncio.Queue()
        self._current: ManagedModel | None = None
        self._give_up = threading.Event()

    def add(self, managed: ManagedModel) -> None:
        """Tune a model when the ones before it are tuned."""
        self._waiting.put_nowait(managed)

    def retire(self, managed: ManagedModel) -> None:
        """Give up the tuning of a version that takes no more requests, so that its memory is freed."""
        if managed is self._current:
            self._give_up.set()

    def stop(self) -> None:
        """Give up the tuning that is running."""
        self._give_up.set()

    async def run(self) -> None:
        """Tune one model after the other."""
        while True:
            managed = await self._waiting.get()
            if managed.registered.model is not None:
                self._current, self._give_up = managed, threading.Event()
                await self._tune(managed, managed.registered.model)
                self._current = None
                await give_back_freed_memory()  # that of the engines that were tried

    async def _tune(self, managed: ManagedModel, running: ServedModel) -> None:
        try:
            improvement, memory = await self._improvement(managed.entry, running)
        except Exception as error:  # noqa: BLE001 - the server continues with the version that serves
            self._log_failure(managed, running, error)
            return
        match improvement:
            case FasterModel(model):
                self._current = None  # the swap retires the version
                if await self._manager.operations.swap(managed, running, Version(model, memory)):
                    self._log_swap(managed, model)
            case SameEngine(info) if managed.serves(running):
                managed.registered.describe(info)

    async def _improvement(self, entry: ModelEntry, running: ServedModel) -> tuple[Improvement | None, int | None]:
        """Choose an engine, and load the version on it as any other version: while no other one is loaded. Return the
        memory that the load took, too."""
        loader, give_up = self._manager.operations.loader, self._give_up
        load = await run_in_background(partial(self._choose_faster, entry, running, give_up))
        if load is None:
            return None, None
        async with loader.one_at_a_time:
            return (None, None) if give_up.is_set() else await loader.measured(load)

    def _log_failure(self, managed: ManagedModel, running: ServedModel, error: Exception) -> None:
        _log.warning(
            "tuning failed",
            error=one_line(error),
            next=f"the model stays on {running.encoder.engine}: run `rerank tune` to choose its engine",
            exc_info=None if isinstance(error, OperatorError) else error,
            **self._name(managed),
        )

    def _log_swap(self, managed: ManagedModel, model: ServedModel) -> None:
        info = model.info
        _log.info(
            "model swapped",
            provider=info.provider,
            precision=info.precision,
            lanes=info.lanes,
            **self._name(managed),
        )

    def _name(self, managed: ManagedModel) -> dict[str, str]:
        """Return the name for the log if the server has several models."""
        return {"model": managed.name} if len(self._manager.models) > 1 else {}


@asynccontextmanager
async def tuning_in_background(manager: ModelManager, choose_faster: ChooseFaster) -> AsyncIterator[None]:
    """Tune all loaded models during the block, and those that are loaded later. The end of the block does not wait for
    that."""
    tuning = BackgroundTuning(manager, choose_faster)
    manager.operations.on_loaded, manager.operations.on_retired = tuning.add, tuning.retire
    for managed in manager.models:
        tuning.add(managed)
    task = asyncio.create_task(tuning.run())
    try:
        yield
    finally:
        tuning.stop()
        task.cancel()
        await asyncio.wait([task])
