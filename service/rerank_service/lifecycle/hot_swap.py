"""The lanes of the model that is served, and how another takes its place while requests go on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from rerank_service.lifecycle.background import aside
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel

_log = structlog.get_logger()

LoadBetter = Callable[[ServedModel, threading.Event], ServedModel | None]
"""Blocks; given what runs and what is set when it should give up, what should run instead of it, if anything,
or the same with more said of it."""


class Lanes:
    """The lanes of the model served, and of those before it until their last request is answered."""

    def __init__(self, registry: Registry, tasks: asyncio.TaskGroup) -> None:
        self._registry = registry
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []

    def serve(self, model: ServedModel) -> None:
        """Let requests that come from now on go to this model, which may be the one that runs with more said of it."""
        schedulers = [one.scheduler for one in self._registry.models()]
        if model.scheduler not in schedulers:
            self._running.append(self._tasks.create_task(model.scheduler.run()))
        self._registry.add(model)
        for one in schedulers:
            if one is not model.scheduler:
                one.retire()

    def end(self) -> None:
        """Let no lane take another batch."""
        for task in self._running:
            task.cancel()


@asynccontextmanager
async def running(registry: Registry, model: ServedModel) -> AsyncIterator[Lanes]:
    """Serve a model beside the block; if a lane dies the block is cancelled, and its error raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            lanes = Lanes(registry, tasks)
            lanes.serve(model)
            del model  # it may be replaced
            try:
                yield lanes
            finally:
                lanes.end()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@asynccontextmanager
async def improving(registry: Registry, lanes: Lanes, load_better: LoadBetter) -> AsyncIterator[None]:
    """Beside the block, find out what runs best here, and change to it. The block's end does not wait for that."""
    halt = threading.Event()

    async def improve() -> None:
        try:
            better = await aside(partial(load_better, registry.get(""), halt))
        except Exception as error:  # noqa: BLE001 - what runs, runs on
            _log.warning("tuning failed", error=str(error))
        else:
            if better is not None:
                changed = better.scheduler is not registry.get("").scheduler
                lanes.serve(better)
                if changed:
                    _log.info("changed", provider=better.info.provider, precision=better.info.precision)

    task = asyncio.create_task(improve())
    try:
        yield
    finally:
        halt.set()
        task.cancel()
        await asyncio.wait([task])
