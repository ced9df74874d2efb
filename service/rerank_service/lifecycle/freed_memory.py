"""Return the memory that models have freed to the kernel, so that the memory limit leaves it for others."""

import asyncio
from contextlib import suppress

from rerank_service.engine.process_memory import return_free_memory


async def give_back_freed_memory() -> None:
    """Return free memory of malloc to the kernel, on a thread: it takes some milliseconds.

    If the system starts no thread, the memory stays with malloc, and models are loaded and unloaded all the same.
    """
    with suppress(RuntimeError):
        await asyncio.to_thread(return_free_memory)
