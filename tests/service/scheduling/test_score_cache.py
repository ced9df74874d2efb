"""The score cache: exact values, limited memory, least recently used entries dropped."""

import os
import threading
import tracemalloc

import pytest

from rerank_service.scheduling.score_cache import ENTRY_BYTES, ScoreCache


def test_get_returns_the_stored_logit() -> None:
    """A key that was never stored returns None."""
    cache = ScoreCache(10 * ENTRY_BYTES)
    cache.put(b"a", 0.1)
    assert (cache.get(b"a"), cache.get(b"b")) == (0.1, None)


def test_least_recently_used_entry_is_dropped() -> None:
    """Reading counts as use."""
    cache = ScoreCache(2 * ENTRY_BYTES)
    cache.put(b"a", 1.0)
    cache.put(b"b", 2.0)
    cache.get(b"a")
    cache.put(b"c", 3.0)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1.0, None, 3.0]


def test_cache_has_room_for_at_least_one_entry() -> None:
    """Also with a memory of 1 byte."""
    cache = ScoreCache(1)
    cache.put(b"a", 1.0)
    cache.put(b"b", 2.0)
    assert (cache.get(b"a"), cache.get(b"b")) == (None, 2.0)


@pytest.mark.parametrize("entries", [10_000, 22_000])  # before and after the tables of the cache have grown
def test_cache_stays_within_its_memory(entries: int) -> None:
    """It also uses a good part of that memory."""
    max_bytes = entries * ENTRY_BYTES
    tracemalloc.start()
    try:
        cache = ScoreCache(max_bytes)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2 * entries):
            cache.put(os.urandom(16), number + 0.5)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache._scores) == entries
    assert peak - before <= max_bytes
    assert after - before > 0.4 * max_bytes


def test_cache_is_thread_safe() -> None:
    """Each read returns the logit of its own key."""
    cache = ScoreCache(50 * ENTRY_BYTES)
    wrong: list[tuple[int, float]] = []

    def use(start: int) -> None:
        for number in range(start, start + 3000):
            key = number % 100
            cache.put(key.to_bytes(2), float(key))
            logit = cache.get((key * 7 % 100).to_bytes(2))
            if logit is not None and logit != key * 7 % 100:
                wrong.append((key, logit))

    threads = [threading.Thread(target=use, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache._scores) == 50
