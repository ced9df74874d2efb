"""The cache of scores: exact, bounded by bytes, the least recently asked for goes."""

import os
import threading
import tracemalloc

import pytest

from rerank_service.scheduling.score_cache import ENTRY_BYTES, ScoreCache


def test_a_score_comes_back_as_it_was_put() -> None:
    """And what was never put is not there."""
    cache = ScoreCache(10 * ENTRY_BYTES)
    cache.put(b"a", 0.1)
    assert (cache.get(b"a"), cache.get(b"b")) == (0.1, None)


def test_who_was_not_asked_for_the_longest_goes() -> None:
    """Asking counts, so what is popular stays."""
    cache = ScoreCache(2 * ENTRY_BYTES)
    cache.put(b"a", 1.0)
    cache.put(b"b", 2.0)
    cache.get(b"a")
    cache.put(b"c", 3.0)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1.0, None, 3.0]


def test_there_is_room_for_one_at_least() -> None:
    """However few the bytes."""
    cache = ScoreCache(1)
    cache.put(b"a", 1.0)
    cache.put(b"b", 2.0)
    assert (len(cache), cache.get(b"b")) == (1, 2.0)


@pytest.mark.parametrize("entries", [10_000, 22_000])  # before and after the tables behind it have grown
def test_it_takes_no_more_bytes_than_it_was_given(entries: int) -> None:
    """Nor so much less that the number would mean nothing."""
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
    assert len(cache) == entries
    assert peak - before <= max_bytes
    assert after - before > 0.4 * max_bytes


def test_threads_may_use_it_at_once() -> None:
    """Whoever reads sees a score that belongs to the key."""
    cache = ScoreCache(50 * ENTRY_BYTES)
    wrong: list[tuple[int, float]] = []

    def use(start: int) -> None:
        for number in range(start, start + 3000):
            key = number % 100
            cache.put(key.to_bytes(2), float(key))
            found = cache.get((key * 7 % 100).to_bytes(2))
            if found is not None and found != key * 7 % 100:
                wrong.append((key, found))

    threads = [threading.Thread(target=use, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) == 50
