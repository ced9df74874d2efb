"""The deadline of a request."""

import asyncio

import pytest

from rerank_service.errors import DeadlinePassed
from rerank_service.scheduling.deadline import Deadline


async def test_a_block_ends_with_its_deadline() -> None:
    """The error says what to do. A block that ends before is not touched."""
    with pytest.raises(DeadlinePassed, match="set a longer timeout") as caught:
        async with Deadline.after(0).enforced():
            await asyncio.Event().wait()
    assert isinstance(caught.value.__cause__, TimeoutError)
    async with Deadline.after(60).enforced():
        await asyncio.sleep(0)


async def test_other_errors_of_a_block_stay() -> None:
    """Its own timeout, and a cancellation by its caller."""
    with pytest.raises(TimeoutError, match="own"):
        async with Deadline.after(60).enforced():
            raise TimeoutError("own")

    async def endless() -> None:
        async with Deadline.after(60).enforced():
            await asyncio.Event().wait()

    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
