"""Hot swap of the served model, with real lanes and requests."""

import asyncio
import gc
import threading
import weakref
from contextlib import AsyncExitStack
from dataclasses import replace

from rerank_service.lifecycle.hot_swap import serve_model, swap_in_background
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import Names, ServedModel
from rerank_service.models.tuning.improve import SameEngine
from rerank_service.ranking.document import Document
from rerank_service.ranking.request import RerankRequest
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.lane_pool import LanePools
from support.limits import batch_limits, request_limits
from support.running import DocumentReader, HeldScore, build_held


def _loaded(bundle: Bundle, explanation: str) -> tuple[ServedModel, HeldScore]:
    return build_held(bundle, limits=batch_limits(), lanes=2, names=Names("small"), explanation=explanation)


def _is_open(model: ServedModel) -> bool:
    return not model.scheduler._closed


async def test_requests_finish_on_the_model_that_accepted_them(small_model: Bundle) -> None:
    """New requests go to the new model. The old model ends after its last request. Both share the lanes of the pool."""
    registry = Registry()
    admissions = Admissions(LiveLimits(100, 1e9), asyncio.get_running_loop().time)
    reranker = Reranker(registry, admissions, request_limits())

    async def rank() -> list[float]:
        request, documents = RerankRequest(query="0"), [Document("1", original="1"), Document("2", original="2")]
        ranking = await reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))
        return [result.logit for result in ranking]

    old, old_score = _loaded(small_model, "exact")
    new, new_score = _loaded(small_model, "faster")
    async with serve_model(registry, LanePools(), old) as hot_swap, AsyncExitStack() as exits:
        exits.callback(old_score.release)  # if the test fails
        old_score.hold()
        accepted = asyncio.create_task(rank())
        await old_score.started()
        hot_swap.serve(new)
        assert registry.default().info.explanation == "faster"
        assert await rank() == [2.0, 1.0]
        assert len(new_score.batches) == 1
        assert _is_open(old)
        old_score.release()
        assert await accepted == [2.0, 1.0]
        assert not _is_open(old)
    assert len(old_score.batches) == 1


async def test_an_idle_model_ends_at_the_swap(small_model: Bundle) -> None:
    """It leaves the lanes at once, and its memory is freed."""
    registry = Registry()
    old, new = _loaded(small_model, "exact")[0], _loaded(small_model, "faster")[0]
    reference = weakref.ref(old)
    async with serve_model(registry, LanePools(), old) as hot_swap:
        hot_swap.serve(new)
        assert not _is_open(old)
        assert registry.models() == [new]
        del old
        async with asyncio.timeout(10):
            while reference() is not None:  # until its lanes end
                await asyncio.sleep(0.01)
                gc.collect()


async def test_a_tuning_updates_the_reason_of_the_served_model(small_model: Bundle) -> None:
    """The model stays if it is the fastest, and its description gets the reason."""
    registry = Registry()
    model = _loaded(small_model, "not tuned yet")[0]
    async with serve_model(registry, LanePools(), model) as hot_swap:
        same = SameEngine(replace(model.info, explanation="the fastest"))
        async with swap_in_background(hot_swap, lambda *_: same), asyncio.timeout(10):
            while registry.default().info.explanation != "the fastest":
                await asyncio.sleep(0.01)
        assert registry.models() == [replace(model, info=same.info)]
        assert len(hot_swap._lane_tasks) == 1
        assert _is_open(model)


async def test_a_shutdown_does_not_wait_for_the_tuning(small_model: Bundle) -> None:
    """Deriving a large graph takes minutes, and the drain has to begin."""
    release, events = threading.Event(), []

    def derive(_served: ServedModel, give_up: threading.Event) -> None:
        events.append(give_up)
        release.wait()

    registry = Registry()
    async with serve_model(registry, LanePools(), _loaded(small_model, "exact")[0]) as hot_swap, asyncio.timeout(10):
        async with swap_in_background(hot_swap, derive):
            while not events:
                await asyncio.sleep(0.01)
        assert events[0].is_set()
    release.set()
