"""Clients that are opened when they are first needed, for components of frameworks such as those in docs/examples.

Frameworks copy, pickle and configure their components, and call them from blocking code or from several event
loops. A client does not support that: it has an open connection, and an AsyncRerankClient belongs to one event loop.
"""

import asyncio
from collections.abc import Mapping
from threading import Lock
from typing import Any

from rerank.client import Address, AsyncRerankClient, RerankClient


class Connections:
    """Open clients of each server: one for blocking calls, and one for each event loop. A pickled copy is empty."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._lock = Lock()
        self._blocking: list[tuple[tuple[Any, ...], RerankClient]] = []
        self._by_loop: list[tuple[tuple[Any, ...], AsyncRerankClient]] = []

    def __reduce__(self) -> tuple[type["Connections"], tuple[()]]:
        return Connections, ()

    def blocking(self, address: Address, parameters: Mapping[str, Any]) -> RerankClient:
        """Return the client of a server. `parameters` are those of RerankClient, such as `api_key` and `timeout`."""
        server = (address, dict(parameters))
        with self._lock:
            for known, client in self._blocking:
                if known == server:
                    return client
            self._blocking.append((server, RerankClient(address, **parameters)))
            return self._blocking[-1][1]

    def asynchronous(self, address: Address, parameters: Mapping[str, Any]) -> AsyncRerankClient:
        """Return the client of the running event loop, because a connection belongs to the loop that opened it."""
        server = (asyncio.get_running_loop(), address, dict(parameters))
        with self._lock:
            self._by_loop = [each for each in self._by_loop if not each[0][0].is_closed()]
            for known, client in self._by_loop:
                if known == server:
                    return client
            self._by_loop.append((server, AsyncRerankClient(address, **parameters)))
            return self._by_loop[-1][1]

    def close(self) -> None:
        """Close the clients for blocking calls."""
        with self._lock:
            open_clients, self._blocking = self._blocking, []
        for _, client in open_clients:
            client.close()

    async def aclose(self) -> None:
        """Close the clients for blocking calls, and those of the running event loop."""
        self.close()
        loop = asyncio.get_running_loop()
        with self._lock:
            open_clients = [client for known, client in self._by_loop if known[0] is loop]
            self._by_loop = [each for each in self._by_loop if each[0][0] is not loop]
        for client in open_clients:
            await client.close()
