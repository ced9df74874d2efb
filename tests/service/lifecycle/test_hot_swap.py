"""Parts of the composition root that need no process."""

import asyncio
import gc
import signal
import threading
import weakref
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.background import abandoned, aside
from rerank_service.lifecycle.hot_swap import improving, running
from rerank_service.lifecycle.shutdown import unless_stopped
from rerank_service.models.build import Names
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel
from rerank_service.ranking.document import Document
from rerank_service.ranking.request import RerankRequest
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.deadline import Deadline
from support.limits import batch_limits, request_limits
from support.running import DocumentReader, HeldScore, build_held


async def test_a_signal_ends_a_start_that_takes_long() -> None:
    """Gigabytes are read in a thread that the process does not wait for."""
    stop: asyncio.Queue[signal.Signals] = asyncio.Queue()
    release = threading.Event()
    loading = asyncio.create_task(unless_stopped(stop, release.wait))
    await asyncio.sleep(0)
    stop.put_nowait(signal.SIGTERM)
    assert await loading is None
    release.set()


async def test_what_is_loaded_or_goes_wrong_comes_through() -> None:
    """As if it had been called here."""

    def fail() -> None:
        raise BundleInvalid("no model")

    assert await unless_stopped(asyncio.Queue(), lambda: 7) == 7
    with pytest.raises(BundleInvalid, match="no model"):
        await unless_stopped(asyncio.Queue(), fail)


async def test_work_that_goes_on_when_the_server_has_ended_is_known() -> None:
    """The process then ends without waiting for native code to give way."""
    release = threading.Event()
    working = aside(release.wait)
    assert abandoned()
    release.set()
    await working
    async with asyncio.timeout(10):
        while abandoned():
            await asyncio.sleep(0)


def _loaded(bundle: Bundle, choice: str) -> tuple[ServedModel, HeldScore]:
    return build_held(bundle, limits=batch_limits(), lanes=1, names=Names("small"), choice=choice)


def _is_open(model: ServedModel) -> bool:
    return not model.scheduler._closed


async def test_a_better_model_takes_over_and_nothing_is_lost(small_model: Bundle) -> None:
    """Requests inside are answered by the one they began with, whose lanes then end; later ones go to the new one."""
    registry = Registry()
    admission = Admission(100, 1e9, asyncio.get_running_loop().time)
    reranker = Reranker(registry, admission, request_limits())

    async def rank() -> list[float]:
        request, documents = RerankRequest(query="0"), [Document("1", original="1"), Document("2", original="2")]
        ranking = await reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))
        return [result.logit for result in ranking]

    former, held = _loaded(small_model, "exact")
    better, quick = _loaded(small_model, "faster")
    async with running(registry, former) as lanes, AsyncExitStack() as exits:
        exits.callback(held.release)  # should the test fail
        held.hold()
        inside = asyncio.create_task(rank())
        await held.started()
        lanes.serve(better)
        assert registry.get("").info.choice == "faster"
        assert await rank() == [2.0, 1.0]
        assert len(quick.batches) == 1
        assert _is_open(former)
        held.release()
        assert await inside == [2.0, 1.0]
        assert not _is_open(former)
    assert len(held.batches) == 1


async def test_a_model_without_requests_ends_when_another_takes_over(small_model: Bundle) -> None:
    """At once, and its memory is free then."""
    registry = Registry()
    former, better = _loaded(small_model, "exact")[0], _loaded(small_model, "faster")[0]
    gone = weakref.ref(former)
    async with running(registry, former) as lanes:
        lanes.serve(better)
        assert not _is_open(former)
        assert registry.models() == [better]
        del former
        async with asyncio.timeout(10):
            while gone() is not None:  # until its lanes have ended
                await asyncio.sleep(0.01)
                gc.collect()


async def test_a_model_that_stays_says_why(small_model: Bundle) -> None:
    """What a tuning found out is told of the model that runs, which runs on."""
    registry = Registry()
    model = _loaded(small_model, "not tuned yet")[0]
    async with running(registry, model) as lanes:
        same = replace(model, info=replace(model.info, choice="the fastest"))
        async with improving(registry, lanes, lambda *_: same), asyncio.timeout(10):
            while registry.get("").info.choice != "the fastest":
                await asyncio.sleep(0.01)
        assert registry.models() == [same]
        assert len(lanes._running) == 1
        assert _is_open(model)


async def test_a_stop_does_not_wait_for_a_tuning(small_model: Bundle) -> None:
    """Deriving a large graph takes minutes, and draining has to begin."""
    release, halts = threading.Event(), []

    def derive(_running: ServedModel, halt: threading.Event) -> None:
        halts.append(halt)
        release.wait()

    registry = Registry()
    async with running(registry, _loaded(small_model, "exact")[0]) as lanes, asyncio.timeout(10):
        async with improving(registry, lanes, derive):
            while not halts:
                await asyncio.sleep(0.01)
        assert halts[0].is_set()
    release.set()
