"""The requests of the part, each with the answers that the versions give to it alone."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import httpx

from bench.environments import Say
from torture.equivalence.answers import comparable, difference
from torture.equivalence.grpc_requests import GrpcRequest, grpc_request
from torture.equivalence.rest_requests import RestRequest, rest_request
from torture.server import Server

_GRPC_SHARE = 0.3
_SECONDS = 60.0

Request = RestRequest | GrpcRequest


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator["Clients"]:
    """Connect to a server over both protocols."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        httpx.AsyncClient(base_url=server.process.rest, timeout=_SECONDS, trust_env=False) as http,
        grpc.aio.insecure_channel(server.grpc, options=options) as channel,
    ):
        yield Clients(http, channel)


class NotRepeatable(Exception):
    """The same request alone has two answers."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Connections to one server."""

    http: httpx.AsyncClient
    channel: grpc.aio.Channel


@dataclass(frozen=True, slots=True)
class Answered:
    """A request, and its answer by each version alone."""

    request: Request
    by_version: Sequence[Any]

    @property
    def form(self) -> str:
        """The dialect or the method."""
        return self.request.dialect if isinstance(self.request, RestRequest) else self.request.method


def requests(seed: str, count: int) -> list[Request]:
    """Return requests of all dialects and methods."""
    generator = random.Random(seed)
    makers: tuple[Callable[[random.Random], Request], ...] = (rest_request, grpc_request)
    return [makers[generator.random() < _GRPC_SHARE](generator) for _ in range(count)]


async def answers_alone(pool: Sequence[Request], clients: Clients, *, cached: bool) -> list[Any]:
    """Send each request alone, twice, and return the answers.

    Raises:
        NotRepeatable: two answers differ.
    """
    found = []
    for request in pool:
        first, second = [comparable(await answer(request, clients), cached=cached) for _ in range(2)]
        if differs := difference(second, first):
            raise NotRepeatable(f"{request}: {differs}")
        found.append(first)
    return found


async def answer(request: Request, clients: Clients, headers: Mapping[str, str] = {}, seconds: float = _SECONDS) -> Any:
    """Send a request, and return its answer as JSON. `seconds` is the deadline of a gRPC call.

    Raises:
        httpx.HTTPError, grpc.aio.AioRpcError: it failed.
    """
    if isinstance(request, GrpcRequest):
        return await request.answer(clients.channel, seconds=seconds, metadata=tuple(headers.items()))
    response = await clients.http.post(request.path, json=request.body, headers=dict(headers))
    return response.raise_for_status().json()


async def answered(pool: Sequence[Request], servers: Sequence[Server], say: Say, *, cached: bool) -> list[Answered]:
    """Return the requests with the answers of each server alone."""
    by_server = []
    for number, server in enumerate(servers, 1):
        say(f"answers of version {number} alone")
        async with connected(server) as clients:
            by_server.append(await answers_alone(pool, clients, cached=cached))
    return [Answered(request, both) for request, *both in zip(pool, *by_server, strict=True)]
