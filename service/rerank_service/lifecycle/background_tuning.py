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
from rerank_service.lifecycle.tuning_attempt import TuningAttempt
from rerank_service.lifecycle.version_loading import Version
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.background import TuningCancelled
from rerank_service.models.tuning.improve import FasterModel, Improvement, LoadChosen, SameEngine

_log = structlog.get_logger()

ChooseFaster = Callable[[ModelEntry, ServedModel, threading.Event], LoadChosen | None]
"""Blocking function that chooses a faster engine for the version that serves. It gives up when the event is set.

Returns a function that loads the version on that engine, or None to change nothing."""


class BackgroundTuning:
    """Tunes the models that are loaded. Implements `Tuner`. Used on the event loop only."""

    def __init__(self, manager: ModelManager, choose_faster: ChooseFaster) -> None:
        self._manager = manager
        self._loader = manager.operations.loader
        self._choose_faster = choose_faster
        self._waiting: asyncio.Queue[ManagedModel] = asyncio.Queue()
        self._current: TuningAttempt | None = None

    def add(self, managed: ManagedModel) -> None:
        """See `Tuner`."""
        self._waiting.put_nowait(managed)

    def retire(self, managed: ManagedModel) -> None:
        """See `Tuner`."""
        if (attempt := self._attempt(managed)) is not None:
            attempt.give_up()

    def tunes(self, managed: ManagedModel, /) -> bool:
        """See `Tuner`."""
        return self._attempt(managed) is not None

    async def ended(self, managed: ManagedModel) -> None:
        """See `Tuner`."""
        if (attempt := self._attempt(managed)) is not None:
            await attempt.ended.wait()

    async def make_room(self) -> bool:
        """See `Tuner`."""
        current = self._current
        if current is None:
            return False
        if not current.halt.is_set():
            self.add(current.managed)
            current.give_up()
        await current.ended.wait()
        return True

    def stop(self) -> None:
        """Give up the tuning that is running."""
        if self._current is not None:
            self._current.give_up()

    def _attempt(self, managed: ManagedModel) -> TuningAttempt | None:
        """Return the running tuning if it is that of a model."""
        return self._current if self._current is not None and self._current.managed is managed else None

    async def run(self) -> None:
        """Tune one model after the other. A tuning does not begin while a model is loaded: it would take its memory."""
        while True:
            managed = await self._waiting.get()
            await self._loader.idle()
            if managed.registered.model is not None:
                self._current = attempt = TuningAttempt(managed)
                try:
                    await self._tune(attempt, managed.registered.model)
                    await give_back_freed_memory()
                finally:
                    self._current = None
                    attempt.ended.set()
                    self._manager.operations.arm_idle_timer(managed)

    async def _tune(self, attempt: TuningAttempt, running: ServedModel) -> None:
        try:
            await self._improve(attempt, running)
        except TuningCancelled:
            return
        except Exception as error:  # noqa: BLE001 - the server continues with the version that serves
            self._log_failure(attempt.managed, running, error)

    async def _improve(self, attempt: TuningAttempt, running: ServedModel) -> None:
        """Choose an engine, load the version on it, and let it take the requests.

        Raises:
            TuningCancelled: the tuning was given up.
        """
        managed, operations = attempt.managed, self._manager.operations
        load = await run_in_background(partial(self._choose_faster, managed.entry, running, attempt.halt))
        if load is None:
            return
        improvement, memory = await self._loaded(attempt, load)
        match improvement:
            case FasterModel(model):
                async with attempt.waiting():
                    await operations.settled(managed)
                if await operations.swap(managed, running, Version(model, memory)):
                    self._log_swap(managed, model)
            case SameEngine(info) if managed.serves(running):
                managed.registered.describe(info)

    async def _loaded(self, attempt: TuningAttempt, load: LoadChosen) -> tuple[Improvement | None, int | None]:
        """Load a version on the chosen engine while no other one is loaded. Return the memory that it took, too."""
        async with attempt.waiting():
            await self._loader.one_at_a_time.acquire()
        try:
            attempt.check()
            return await self._loader.measured(load)
        finally:
            self._loader.one_at_a_time.release()

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
    manager.operations.tuner = tuning
    for managed in manager.models:
        tuning.add(managed)
    task = asyncio.create_task(tuning.run())
    try:
        yield
    finally:
        tuning.stop()
        task.cancel()
        await asyncio.wait([task])
