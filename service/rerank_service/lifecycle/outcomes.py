"""Wait for operations on models, which continue if the wait is cancelled."""

import asyncio

from rerank_service.error_text import one_line
from rerank_service.errors import MemoryTooSmall, NotReady, RequestError
from rerank_service.lifecycle.model_control_errors import LoadFailed, NoMemory
from rerank_service.lifecycle.model_operations import Outcome


async def error_of(outcome: Outcome) -> Exception | None:
    """Wait for an operation, and return its error. The operation continues if the wait is cancelled."""
    await asyncio.wait([outcome])
    if outcome.cancelled():
        return NotReady("the server is stopping")
    return outcome.result()


async def finished(outcome: Outcome) -> None:
    """Wait for an operation.

    Raises:
        LoadFailed, NoMemory, NotReady: the operation failed.
    """
    error = await error_of(outcome)
    if isinstance(error, MemoryTooSmall):
        raise NoMemory(one_line(error)) from error
    if error is not None:
        raise error if isinstance(error, RequestError) else LoadFailed(one_line(error)) from error
