"""A server as its clients see it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from rerank_service.tools.loadtest.workload import Request


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server told beside its ranking; 0 where it does not say."""

    tokens: int = 0
    """Of all pairs, without padding."""
    padded_tokens: int = 0
    """Computed for them, padding included."""


class CallFailed(Exception):
    """A call that brought no ranking."""

    def __init__(self, kind: str, message: str, *, refused: bool = False) -> None:
        """`kind` is what failures are counted by, such as "HTTP 429"; `refused`: the server has too much to do, and
        said so."""
        super().__init__(message)
        self.kind = kind
        self.refused = refused


WRONG_ANSWER = "wrong answer"
"""The kind of an answer that is not a ranking of what was sent."""
NO_ANSWER_IN_TIME = "no answer in time"
NO_CONNECTION = "no connection"


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of itself; empty where it does not."""

    model: str = ""
    precision: str = ""
    provider: str = ""
    detail: str = ""
    """How it is spoken to, such as a dialect and a path."""


class Client(Protocol):
    """One client, with a connection of its own."""

    async def connect(self) -> None:
        """Make the connection, so that no call's time has it within."""

    async def rank(self, request: Request) -> Answer:
        """One call. Raises CallFailed."""


class Target(Protocol):
    """Where load is put."""

    async def probe(self) -> Served:
        """One small ranking, and what the server says of itself.

        Raises:
            LoadFailed: there is no server, or it does not rank.
        """

    def client(self, deadline: float | None = None) -> AbstractAsyncContextManager[Client]:
        """A new client, whose calls have that many seconds."""
