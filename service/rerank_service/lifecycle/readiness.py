"""Report the readiness of the server and of its models whenever it changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.models.registry import Registry


class Reporter(Protocol):
    """The servers whose health checks report readiness."""

    async def report(self, manager: ModelManager) -> None:
        """Report the readiness of the server and of its models."""


@asynccontextmanager
async def reporting_readiness(registry: Registry, manager: ModelManager, reporter: Reporter) -> AsyncIterator[None]:
    """Report the readiness now, and after each change during the block."""
    changed = asyncio.Event()
    registry.on_change(changed.set)

    async def report_changes() -> None:
        while True:
            await changed.wait()
            changed.clear()
            await reporter.report(manager)

    await reporter.report(manager)
    task = asyncio.create_task(report_changes())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
