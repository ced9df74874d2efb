"""A gRPC server whose methods are all registered, so that no path of a call can stop it.

grpc.aio reads the path of a call as UTF-8, in the task that accepts all calls. A single call with another path ends
this task, and the server with it (grpcio 1.85). gRPC's core compares the bytes of registered methods by itself, and
Python never reads their path. So the calls of unknown methods are accepted under a registered name, too.
Reason: docs/decisions/0067-registered-methods.md.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio._server import Server, _augment_channel_arguments

_ANY_SERVICE = f"any.{uuid.uuid4().hex}"
"""Service of all unknown methods. A caller cannot guess it: a call of it would wait until its deadline."""
_ANY_METHOD = "Method"
_ANY_PATH = f"/{_ANY_SERVICE}/{_ANY_METHOD}".encode()

Handlers = dict[str, "grpc.RpcMethodHandler[Any, Any]"]


class _AcceptingServer(cygrpc.AioServer):  # type: ignore[misc]  # has no types
    """Accepts unregistered calls under the name of the unknown method."""

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """Return a future of the next call of a method. None: of any method that is not registered, with its path."""
        if method is None:  # never: the path would be read
            return asyncio.get_running_loop().create_future()
        return super()._make_request_call_future(None if method == _ANY_PATH else method)  # type: ignore[no-any-return]


class _Server(Server):
    """A server of grpc.aio around another inner server. The constructor of the base class takes none."""

    def __init__(self, options: Sequence[tuple[str, int]]) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _AcceptingServer(self._loop, None, (), (), _augment_channel_arguments(options, None), None)


def registered_server(
    options: Sequence[tuple[str, int]], unknown_method: "grpc.RpcMethodHandler[Any, Any]"
) -> grpc.aio.Server:
    """Return a server, to which services are added by `add_registered_method_handlers` only. `unknown_method` handles
    the calls of all other methods."""
    server: grpc.aio.Server = _Server(options)  # type: ignore[assignment]  # grpc.aio.Server, under its private name
    server.add_registered_method_handlers(_ANY_SERVICE, {_ANY_METHOD: unknown_method})
    return server


@asynccontextmanager
async def ending_with(server: grpc.aio.Server) -> AsyncIterator[None]:
    """Cancel the block and raise the error if the server ends by a fault. A process that serves REST only, and looks
    healthy there, must not go on. The block stops the server before its end."""
    try:
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(server.wait_for_termination())
            try:
                yield
            finally:
                ended.cancel()
    except BaseExceptionGroup as group:
        error = group.exceptions[0]
        raise error from error.__cause__  # cli/storage_errors.py needs the cause
