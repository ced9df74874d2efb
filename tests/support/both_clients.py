"""Types of the methods of both clients, for tests that call the blocking client and the one of asyncio alike."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from rerank.v1 import rerank_pb2 as pb

Method = Callable[..., Coroutine[Any, Any, pb.RerankResponse]]
"""A method that ranks. That of the blocking client runs in a thread."""
Call = Callable[..., Awaitable[Any]]
"""Calls a method of a client by its name."""


def in_thread(method: Callable[..., pb.RerankResponse]) -> Method:
    """Return a method of the blocking client as a coroutine function."""
    return partial(asyncio.to_thread, method)
