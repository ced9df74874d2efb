"""Hot swap: change to a faster engine while requests continue.

New requests go to the new model. Requests that the old model has accepted finish there; then its lanes end.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from rerank_service.lifecycle.background import run_in_background
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.models.tuning.improve import FasterModel, Improvement, SameEngine
from rerank_service.scheduling.lane_pool import LanePools

_log = structlog.get_logger()

LoadFaster = Callable[[ServedModel, threading.Event], Improvement | None]
"""Blocking function that loads the served model on a faster engine. It gives up when the event is set.

Returns None to change nothing."""


class HotSwap:
    """The lanes of the served model, and those of earlier models until their last request is finished."""

    def __init__(self, registry: Registry, pools: LanePools, tasks: asyncio.TaskGroup) -> None:
        self._registry = registry
        self._pools = pools
        self._tasks = tasks
        self._lane_tasks: list[asyncio.Task[None]] = []

    @property
    def served(self) -> ServedModel:
        """The model that new requests go to."""
        return self._registry.default()

    def serve(self, model: ServedModel) -> None:
        """Send new requests to this model, and retire the models before it."""
        retired = self._registry.models()
        share = self._pools.of(model.encoder.engine.device).share(model.info.name)
        self._lane_tasks.append(self._tasks.create_task(model.scheduler.run(share)))
        self._registry.add(model)
        for earlier in retired:
            earlier.scheduler.retire()

    def describe(self, info: ModelInfo) -> None:
        """Replace the facts about the served model, such as the reason for its engine. The model stays."""
        self._registry.add(replace(self.served, info=info))

    def stop_lanes(self) -> None:
        """Stop all lanes. A batch that is running finishes; no lane takes another one."""
        for task in self._lane_tasks:
            task.cancel()


@asynccontextmanager
async def serve_model(registry: Registry, pools: LanePools, model: ServedModel) -> AsyncIterator[HotSwap]:
    """Run the lanes of a model during the block. If a lane fails, cancel the block and raise the error of the lane."""
    try:
        async with asyncio.TaskGroup() as tasks:
            hot_swap = HotSwap(registry, pools, tasks)
            hot_swap.serve(model)
            del model  # a hot swap may replace it, and then its memory is freed
            try:
                yield hot_swap
            finally:
                hot_swap.stop_lanes()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@asynccontextmanager
async def swap_in_background(hot_swap: HotSwap, load_faster: LoadFaster) -> AsyncIterator[None]:
    """Look for a faster engine during the block, and change to it. The end of the block does not wait for that."""
    give_up = threading.Event()
    task = asyncio.create_task(_swap(hot_swap, partial(load_faster, hot_swap.served, give_up)))
    try:
        yield
    finally:
        give_up.set()
        task.cancel()
        await asyncio.wait([task])


async def _swap(hot_swap: HotSwap, load_faster: Callable[[], Improvement | None]) -> None:
    try:
        improvement = await run_in_background(load_faster)
    except Exception as error:  # noqa: BLE001 - the server continues with the model that it serves
        _log.warning("tuning failed", error=str(error))
        return
    match improvement:
        case FasterModel(model):
            hot_swap.serve(model)
            _log.info(
                "model swapped",
                provider=model.info.provider,
                precision=model.info.precision,
                lanes=model.info.lanes,
            )
        case SameEngine(info):
            hot_swap.describe(info)
