"""The garbage collector of a process of `rerank`."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from rerank_service.api.http.large_values import LargeBodies
from rerank_service.garbage import (
    FULL_COLLECTION_AFTER,
    QUIET_COLLECTION_AFTER,
    collect_at_quiet_moments,
    collections_paused,
    keep_out_of_collections,
    make_full_collections_rare,
)
from rerank_service.lifecycle.shutdown import running_task


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Restore the collector of this process."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_only_full_collections_become_rare() -> None:
    """Young garbage is collected as before."""
    before = gc.get_threshold()
    make_full_collections_rare()
    assert gc.get_threshold() == (*before[:2], FULL_COLLECTION_AFTER)


class _Node:
    """An object that can refer to itself."""

    itself: object = None


def _old_garbage() -> weakref.ref[_Node]:
    """Return a reference to garbage that only a full collection finds."""
    node = _Node()
    node.itself = node
    for _ in range(QUIET_COLLECTION_AFTER + 1):
        gc.collect(1)
    return weakref.ref(node)


@asynccontextmanager
async def _collecting(is_quiet: Callable[[], bool]) -> AsyncIterator[None]:
    make_full_collections_rare()
    async with running_task(collect_at_quiet_moments(is_quiet, 0.0)), asyncio.timeout(10):
        yield


async def test_a_full_collection_waits_for_a_quiet_moment() -> None:
    """Garbage stays while batches run."""
    garbage, quiet = _old_garbage(), iter((False, False, True))

    def is_quiet() -> bool:
        assert garbage() is not None
        return next(quiet)

    async with _collecting(is_quiet):
        while garbage() is not None:
            await asyncio.sleep(0)


async def test_no_full_collection_runs_while_they_are_paused() -> None:
    """For the values of a large body."""
    garbage, bodies = _old_garbage(), LargeBodies()
    async with _collecting(lambda: True):
        with bodies.live():
            for _ in range(5):
                await asyncio.sleep(0)
            assert garbage() is not None
        while garbage() is not None:
            await asyncio.sleep(0)


def test_objects_of_the_start_are_not_visited() -> None:
    """These are the objects that are alive at the call."""
    keep_out_of_collections()
    assert gc.get_freeze_count() > 1000


def test_collections_are_paused_during_a_block() -> None:
    """Also if it fails. One that was off before stays off."""
    with collections_paused():
        assert not gc.isenabled()
        with collections_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError), collections_paused():
        raise ModuleNotFoundError
    assert gc.isenabled()
