"""Send the traces of the last requests when the server stops, without a delay of the shutdown."""

import asyncio
from typing import Protocol

import structlog

from rerank_service.error_text import one_line
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.shutdown import StopSignals, run_unless_stopped

_log = structlog.get_logger()

_MAX_SECONDS = 5.0
"""Maximum time, even if more is left of the grace period. A receiver that works needs milliseconds; the SDK tries for
10 s to reach one that is down."""


class SpanProvider(Protocol):
    """A provider of OpenTelemetry that sends spans in the background."""

    def shutdown(self) -> None:
        """Send the spans that wait, and stop. Blocks until the receiver has them, up to half a minute."""


class TraceFlush:
    """Shuts a provider down within a time, or until a signal arrives."""

    grace: float = 1.0
    """Seconds that are left of the grace period. Until requests are drained, a second: the server stops before it was
    ready."""

    def __init__(self, provider: SpanProvider | None, signals: StopSignals) -> None:
        """`provider` is None without traces."""
        self._provider = provider
        self._signals = signals

    async def run(self) -> None:
        """Shut the provider down. Spans that are not sent in time are lost."""
        if self._provider is None:
            return
        sent, why = False, "the OTLP receiver did not take the last spans in time"
        try:
            async with asyncio.timeout(min(self.grace, _MAX_SECONDS)):
                sent = await run_unless_stopped(_shut_down(self._provider), self._signals.get())
        except TimeoutError:
            pass
        except Exception as error:  # noqa: BLE001 - the server stops without an error
            why = one_line(error)
        if not sent:
            _log.warning("traces lost", why=why)


async def _shut_down(provider: SpanProvider) -> None:
    await run_in_background(provider.shutdown)
