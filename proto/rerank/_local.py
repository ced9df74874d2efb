"""Clients of a server in this process. Private: import from rerank.client."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Model = str | os.PathLike[str]
"""Folder of a model: a bundle, or a hub folder."""
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
"""Channel options for a connection of its own, which ends with the client."""


class Server(Protocol):
    """The running server."""

    target: str
    """Its gRPC target."""

    def stop(self) -> None:
        """Stop without waiting."""

    def close(self) -> None:
        """Stop, and wait until the memory is free and the threads have ended."""


def start_server(model: Model | None, settings: Mapping[str, Any]) -> Server:
    """Load a model, and return its server.

    Raises:
        ImportError: the packages of the server are not installed.
        rerank_service.errors.OperatorError: a setting is wrong, or the model cannot be served.
    """
    try:
        from rerank_service.local_server import LocalServer
    except ModuleNotFoundError as error:
        raise ImportError(
            f"local() needs the server, and {error.name} is not installed. {_hint()}", name=error.name
        ) from error
    return LocalServer(model, settings)


async def start_server_in_thread(model: Model | None, settings: Mapping[str, Any]) -> Server:
    """Load a model, while the event loop runs on.

    A server that is ready after a cancellation is stopped, also if the event loop has ended meanwhile.
    """
    lock, abandoned = threading.Lock(), False
    ready: list[Server] = []

    def start() -> Server:
        server = start_server(model, settings)
        with lock:
            ready.append(server)
            if abandoned:
                server.stop()
        return server

    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with lock:
            abandoned = True
            for server in ready:
                server.stop()
        starting.add_done_callback(lambda done: done.cancelled() or done.exception())  # the error was seen
        raise


def stop_with(client: object, server: Server) -> Callable[[], None]:
    """Stop a server when its client is collected. Return the function that closes it before."""
    # the garbage collector may run in any thread, also in one of the server: it must not wait for the server
    collected = weakref.finalize(client, server.stop)
    collected.atexit = False  # the server does that itself, and waits

    def close() -> None:
        collected.detach()
        server.close()

    return close


def _hint() -> str:
    try:
        from rerank_service.installation import install_command
    except ModuleNotFoundError:
        return "Install it with the extra [cpu]: pip install 'PATH_OF_THE_REPOSITORY_OR_WHEEL[cpu]'"
    return f"Install it: {install_command('cpu', anywhere=True)}"
