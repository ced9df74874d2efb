"""Blocking calls that end early."""

import threading

import pytest

from rerank_service.scheduling.stoppable import CallStopped, check_stopped, stoppable


def test_event_stops_the_calls_of_its_block_only() -> None:
    """Other calls, and later ones on the same thread, go on."""
    event = threading.Event()
    stoppable(check_stopped, event)
    event.set()
    with pytest.raises(CallStopped):
        stoppable(lambda: "not reached", event)
    check_stopped()


def test_threads_are_stopped_separately() -> None:
    """The event of one thread does not stop another."""
    event, begun, go_on = threading.Event(), threading.Event(), threading.Event()
    stopped: list[bool] = []

    def work() -> None:
        begun.set()
        go_on.wait()
        try:
            check_stopped()
        except CallStopped:
            stopped.append(True)

    thread = threading.Thread(target=stoppable, args=(work, event))
    thread.start()
    begun.wait()
    event.set()
    check_stopped()
    go_on.set()
    thread.join()
    assert stopped == [True]
