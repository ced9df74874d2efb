"""The last traces at the end of a server. tests/e2e/test_observability.py covers a process."""

import asyncio
import signal
import threading

import pytest
from structlog.testing import capture_logs

from rerank_service.lifecycle.trace_flush import TraceFlush


class _Provider:
    """A provider whose shutdown takes until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.shut_down = threading.Event()

    def shutdown(self) -> None:
        """Wait for the release."""
        self.released.wait()
        self.shut_down.set()


async def test_traces_that_are_sent_in_time_are_not_lost() -> None:
    """The flush ends with the shutdown of the provider."""
    provider = _Provider()
    provider.released.set()
    with capture_logs() as lines:
        await TraceFlush(provider, asyncio.Queue()).run()
    assert provider.shut_down.is_set()
    assert lines == []


async def test_receiver_that_hangs_delays_no_shutdown_beyond_the_grace_period() -> None:
    """Nothing is left of the grace period, or a signal arrives."""
    for grace, signals in ((0.0, ()), (3600.0, (signal.SIGTERM,))):
        provider, received = _Provider(), asyncio.Queue[signal.Signals]()
        for number in signals:
            received.put_nowait(number)
        flush = TraceFlush(provider, received)
        flush.grace = grace
        with capture_logs() as lines:
            await flush.run()
        assert not provider.shut_down.is_set()
        assert [line["event"] for line in lines] == ["traces lost"]
        provider.released.set()
        await asyncio.to_thread(provider.shut_down.wait)


async def test_system_without_threads_ends_no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the reason, and the server stops without an error."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with capture_logs() as lines:
        await TraceFlush(_Provider(), asyncio.Queue()).run()
    assert [(line["event"], line["why"]) for line in lines] == [("traces lost", "can't start new thread")]


async def test_server_without_traces_has_nothing_to_send() -> None:
    """Nor does it log anything."""
    with capture_logs() as lines:
        await TraceFlush(None, asyncio.Queue()).run()
    assert lines == []
