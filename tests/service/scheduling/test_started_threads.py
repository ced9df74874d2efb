"""Pools whose threads start before the first call."""

import threading

import pytest

from rerank_service.scheduling.started_threads import ThreadsMissing, started_threads


def test_all_threads_run_at_once() -> None:
    """And are named after the pool."""
    before = set(threading.enumerate())
    with started_threads(5, "test"):
        started = set(threading.enumerate()) - before
        assert len(started) == 5
        assert all(thread.name.startswith("test") for thread in started)


def test_missing_threads_are_an_error_for_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the number that started, and they end."""
    before = threading.enumerate()
    intact = threading.Thread.start

    def two_start(thread: threading.Thread) -> None:
        if threading.active_count() == len(before) + 2:
            raise RuntimeError("can't start new thread")
        intact(thread)

    monkeypatch.setattr(threading.Thread, "start", two_start)
    with pytest.raises(ThreadsMissing, match=r"started 2 of 5 threads for test \(can't start new thread\): raise"):
        started_threads(5, "test")
    assert threading.enumerate() == before
