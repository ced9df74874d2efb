"""Repeated calls of the clients: which errors, how often, with which pauses, and until when."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank._lifetime import AsyncLifetime, Lifetime
from rerank._retries import Budget, RetryPolicy, call_async, call_blocking
from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    RerankError,
    ResourceExhausted,
    Unavailable,
)
from support.both_clients import Call
from support.observed import observed
from support.running import Running
from support.scripted import Reply, busy_status, scripted

DOWN = Reply(grpc.StatusCode.UNAVAILABLE)
STOPPING = Reply(grpc.StatusCode.CANCELLED)
BUSY = Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.01)
OK = Reply()


@pytest.mark.parametrize("method", ["rerank", "rerank_stream"])
async def test_a_call_is_repeated_while_the_server_is_down_or_busy(call: Callable[..., Call], method: str) -> None:
    """Three times, unless the client sets another number. A server that stops cancels calls."""
    with scripted(DOWN, BUSY, STOPPING, OK) as server:
        await call(server)(method, "q", ["d"])
        assert len(server.calls) == 4


@pytest.mark.parametrize(
    ("retries", "replies", "kind"),
    [
        (0, [DOWN], Unavailable),
        (1, [DOWN, BUSY], Overloaded),
        (3, [DOWN] * 4, Unavailable),
        (3, [Reply(grpc.StatusCode.RESOURCE_EXHAUSTED)], ResourceExhausted),
        (3, [Reply(grpc.StatusCode.INVALID_ARGUMENT)], InvalidArgument),
        (3, [Reply(grpc.StatusCode.INTERNAL)], Internal),
        (3, [Reply(grpc.StatusCode.DEADLINE_EXCEEDED)], DeadlineExceeded),
        (3, [BUSY, Reply(grpc.StatusCode.INTERNAL)], Internal),
    ],
    ids=["off", "one", "default", "too-large", "invalid", "internal", "late", "second-error"],
)
async def test_the_last_error_is_raised(
    call: Callable[..., Call], retries: int, replies: list[Reply], kind: type[RerankError]
) -> None:
    """After the last repetition, and at once if a repetition does not help."""
    with scripted(*replies) as server:
        with pytest.raises(RerankError) as caught:
            await call(server, retries=retries)("rerank", "q", ["d"])
        assert type(caught.value) is kind
        assert len(server.calls) == len(replies)


async def test_all_tries_share_the_time() -> None:
    """Each try has the time that is left after the pause. gRPC rounds it up before the server sees it."""
    given_times: list[float | None] = []

    def attempt(seconds: float | None) -> None:
        given_times.append(seconds)
        raise _busy(retry_after=0.02)

    async def attempt_async(seconds: float | None) -> None:
        attempt(seconds)

    for policy in (RetryPolicy(2, timeout=9.0), RetryPolicy(2)):
        with pytest.raises(Overloaded):
            await asyncio.to_thread(call_blocking, policy, attempt, Lifetime())
        with pytest.raises(Overloaded):
            await call_async(policy, attempt_async, AsyncLifetime())
    assert given_times[6:] == [None] * 6
    for first, second, third in (given_times[:3], given_times[3:6]):
        assert first is not None
        assert second is not None
        assert third is not None
        assert 9 >= first >= second + 0.02 >= third + 0.04


def _busy(retry_after: float) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", busy_status(retry_after).SerializeToString()))
    return grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), metadata)


@pytest.mark.parametrize("seconds", [20, None])
async def test_a_pause_never_exceeds_the_time(call: Callable[..., Call], seconds: float | None) -> None:
    """The error of the server is raised at once. Without a timeout, the limit is 60 s."""
    with scripted(Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=100)) as server:
        with pytest.raises(Overloaded) as caught:
            await call(server, timeout=seconds)("rerank", "q", ["d"])
        assert caught.value.retry_after == 100


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"retries": -1}, ValueError, "retries is -1: give 0 for none"),
        ({"retries": 1.5}, TypeError, "retries is 1.5: give a whole number"),
        ({"retries": None}, TypeError, "retries is None"),
        ({"retries": True}, TypeError, "retries is True"),
        ({"timeout": 0}, ValueError, "timeout is 0: give seconds above 0, or None"),
        ({"timeout": -1.0}, ValueError, "timeout is -1.0"),
        ({"timeout": math.nan}, ValueError, "timeout is nan"),
        ({"timeout": "30"}, TypeError, "timeout is '30': give a number of seconds, or None"),
        ({"timeout": True}, TypeError, "timeout is True"),
    ],
    ids=lambda value: "-".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else "",
)
def test_wrong_retries_and_times_are_rejected(
    client: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    """At once, and not at the first call."""
    with pytest.raises(error, match=words):
        client(**options)


@pytest.mark.parametrize("seconds", [math.inf, 1e12, np.float32(30), np.int64(30)])
async def test_very_long_times_and_numbers_of_numpy_are_accepted(call: Callable[..., Call], seconds: Any) -> None:
    """gRPC overflows for very long times, so the client sends at most a year."""
    with scripted(OK, OK) as server:
        caller = call(server, timeout=seconds)
        await caller("rerank", "q", ["d"])
        await caller("rerank_stream", "q", ["d"])


async def test_a_negative_retry_after_is_no_pause(call: Callable[..., Call]) -> None:
    """A wrong RetryInfo of a proxy."""
    with scripted(Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=-5.0), OK) as server:
        await call(server, timeout=9)("rerank", "q", ["d"])
        assert len(server.calls) == 2


@given(st.integers(0, 30), st.none() | st.floats(0, 10), st.sampled_from([Unavailable, Overloaded]))
def test_pauses_are_spread_and_bounded(retries: int, asked: float | None, kind: type[RerankError]) -> None:
    """Each is at least as long as the server asks for, and at most 0.1 s, 0.2 s, 0.4 s … 5 s longer."""
    budget = Budget(RetryPolicy(retries, timeout=1e9))
    error = kind("", retry_after=asked)
    for number in range(retries):
        pause = budget.pause(error)
        assert pause is not None
        assert (asked or 0) <= pause <= (asked or 0) + min(0.1 * 2**number, 5)
    assert budget.pause(error) is None


def test_pauses_differ() -> None:
    """Clients that fail together return apart."""
    assert len({Budget(RetryPolicy()).pause(Unavailable("")) for _ in range(10)}) > 1


async def test_calls_go_on_when_one_of_two_servers_stops(core: Running) -> None:
    """A list of addresses: the calls go to both in turn, and then to the one that is left."""
    async with observed(core) as (first, calls), observed(core) as (second, other_calls):
        addresses = [first.address, f"grpc://{second.address}"]
        async with AsyncRerankClient(addresses, timeout=30) as client:
            with RerankClient(addresses, timeout=30) as blocking:

                async def rank() -> None:
                    await client.rerank("0", ["1"])
                    await asyncio.to_thread(blocking.rerank, "0", ["1"])

                while not (calls.started and other_calls.started):
                    await rank()
                await second.grpc.stop(0)
                before = len(calls.started)
                for _ in range(5):
                    await rank()
                assert len(calls.started) == before + 10
