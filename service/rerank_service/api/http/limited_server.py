"""uvicorn's server, with limited connections, TLS on TCP only, and an end without pauses."""

import asyncio
import logging
import math
import socket
import ssl
from contextlib import nullcontext, suppress
from typing import cast

import uvicorn

from rerank_service.api.http.connection import READ_PERIODS, LimitedConnection
from rerank_service.api.http.counted_sockets import ACCEPTED_AT_ONCE
from rerank_service.api.http.options import ConnectionLimits
from rerank_service.api.http.silent_clients import SilentClients

_TICK_SECONDS = 1.0
"""Age at which the header Date is renewed."""
_CANCEL_SECONDS = 1.0
"""Maximum time in which cancelled requests send their last bytes."""
_POLL_SECONDS = 0.01
"""Time between two looks at the requests that run, while the server ends."""

_log = logging.getLogger("uvicorn.error")


class LimitedServer(uvicorn.Server):
    """A server that `stop` ends.

    uvicorn looks ten times a second whether it shall end, and then sleeps for 0.1 s. This one waits for `stop`.
    """

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._limits = limits
        self._tls = tls
        self._silent = SilentClients()
        self._stopping = asyncio.Event()

    def stop(self, grace: float) -> None:
        """Accept no new connections, and end with the running requests, or cancel them after `grace` seconds.

        A second call with 0 seconds cancels them at once.
        """
        # with a timeout of 0, an error would be logged even if no request runs
        self.config.timeout_graceful_shutdown = math.ceil(grace) or int(not self.server_state.tasks)
        self.force_exit = self.should_exit and not grace
        self.should_exit = True
        self._stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on sockets."""
        self.servers = [await self._listening(each) for each in sockets or ()]
        self.started = True

    async def main_loop(self) -> None:
        """Renew the header Date, and abort silent clients, until `stop`."""
        while not await self.on_tick(0):
            self._silent.abort(self._connections())
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners and idle connections, and wait for running requests as `stop` says."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in self._connections():
            connection.shutdown()
        try:
            await asyncio.wait_for(self._ended(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            _log.error("the grace period has ended: %d requests are cancelled", len(self.server_state.tasks))
        await self._cancel(list(self.server_state.tasks))
        for connection in self._connections():
            connection.abort()

    def _connections(self) -> list[LimitedConnection]:
        """Return the open connections: all are of the type that `_listening` creates."""
        return cast("list[LimitedConnection]", list(self.server_state.connections))

    async def _cancel(self, requests: list[asyncio.Task[None]]) -> None:
        for request in requests:
            request.cancel()
        if requests:
            await asyncio.wait(requests, timeout=_CANCEL_SECONDS)

    async def _ended(self) -> None:
        """Wait until all connections and requests have ended, or for `stop(0)`.

        Not for `wait_closed` of the listeners: from Python 3.12.1 on, it waits for connections that nothing ends.
        """
        await asyncio.sleep(0)  # idle connections without TLS end in this turn
        while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
            self._silent.abort(self._connections())
            await asyncio.sleep(_POLL_SECONDS)

    async def _listening(self, listener: socket.socket) -> asyncio.Server:
        def connection() -> asyncio.Protocol:
            return LimitedConnection(self._limits, self.config, self.server_state, self.lifespan.state)

        tls = None if listener.family is socket.AF_UNIX else self._tls
        return await asyncio.get_running_loop().create_server(
            connection,
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=self._limits.header_timeout if tls else None,
            # time to read a response that was written before the end; connection.py and SilentClients end it earlier
            ssl_shutdown_timeout=(READ_PERIODS + 1) * self._limits.progress_timeout if tls else None,
            backlog=ACCEPTED_AT_ONCE,
        )

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # rerank_service/server.py handles signals
        return nullcontext()
