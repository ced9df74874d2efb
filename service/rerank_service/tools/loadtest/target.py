"""Server under load, as its clients use it: protocols and values that gRPC and HTTP targets share."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from rerank_service.tools.loadtest.workload import Request


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one response; 0 if the server does not report them."""

    tokens: int = 0
    """Tokens of all pairs, without padding."""
    padded_tokens: int = 0
    """Tokens computed for all pairs, with padding."""


class CallFailed(Exception):
    """A call failed or returned no valid ranking."""

    def __init__(self, kind: str, message: str, *, refused: bool = False) -> None:
        """`kind` groups failures for counting, such as "HTTP 429". `refused`: the server rejected the call because it
        is overloaded or unavailable."""
        super().__init__(message)
        self.kind = kind
        self.refused = refused


WRONG_ANSWER = "wrong answer"
"""Kind of a response that does not rank the documents of the request."""
NO_ANSWER_IN_TIME = "no answer in time"
"""Kind of a call without a response before its deadline."""
NO_CONNECTION = "no connection"
"""Kind of a call whose connection failed."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Information that a server reports about itself; empty if it does not."""

    model: str = ""
    precision: str = ""
    provider: str = ""
    detail: str = ""
    """Protocol of the requests, such as a dialect and a path."""


class Client(Protocol):
    """A client with a connection of its own."""

    async def connect(self) -> None:
        """Open the connection, so that no call's duration includes it."""

    async def rank(self, request: Request) -> Usage:
        """Send one request and check the response.

        Raises:
            CallFailed: the call failed, or the response is not a ranking.
        """


class Target(Protocol):
    """A server under load."""

    async def probe(self) -> ServerInfo:
        """Send one small request, and return the self-description of the server.

        Raises:
            LoadTestFailed: no server responds, or it does not rank.
        """

    def client(self, deadline: float | None = None) -> AbstractAsyncContextManager[Client]:
        """Return a new client. `deadline` is that of each call, in seconds; None for the server's default."""
