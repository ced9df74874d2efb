"""Large bodies: freed in steps, and not scanned by full collections."""

import asyncio
import gc
import weakref

from rerank_service.api.http.large_values import LargeBodies, freed


class _Value(list[int]):
    """A list that can be watched."""


def test_everything_is_freed_in_bounded_steps() -> None:
    """Lists in lists, dicts in dicts, and a list with more values than a step."""
    watched = _Value([1])
    gone = weakref.ref(watched)
    waiting = [[{"a": [[watched]]}, list(range(60_000)), {str(key): key for key in range(20_000)}]]
    del watched
    assert gone() is not None
    assert sum(1 for _ in freed(waiting)) >= (60_000 + 2 * 20_000) // 5_000
    assert gone() is None


def test_value_in_use_stays_whole() -> None:
    """A thread may still read the documents of a cancelled request."""
    documents = [{"text": str(number)} for number in range(20_000)]
    for _ in freed([[documents]]):
        pass
    assert documents[-1] == {"text": "19999"}
    assert len(documents) == 20_000


def test_full_collections_pause_while_large_bodies_live() -> None:
    """They come back after the last one, and after many in a row."""
    before = gc.get_threshold()
    bodies = LargeBodies()
    with bodies.live():
        with bodies.live():
            assert gc.get_threshold()[:2] == before[:2]
            assert gc.get_threshold()[2] > 1_000_000
        assert gc.get_threshold()[2] > 1_000_000
        for _ in range(120):
            with bodies.live():
                paused = gc.get_threshold()[2] > 1_000_000
                if not paused:
                    break
        assert not paused
    assert gc.get_threshold() == before


async def test_body_is_freed_after_its_request() -> None:
    """In the background."""
    watched = _Value([1])
    gone = weakref.ref(watched)
    bodies = LargeBodies()
    bodies.free({"documents": [watched]})
    del watched
    while gone() is not None:
        await asyncio.sleep(0)
