"""Parts grpc and admin: valid calls must succeed."""

import asyncio
from dataclasses import replace
from random import Random

import grpc
import pytest

from support.running import Running, served
from torture.grpc_fuzz.calls import random_call, try_call
from torture.grpc_fuzz.case import CallCase, FramesCase
from torture.grpc_fuzz.frames import judge_frames, random_frames
from torture.grpc_fuzz.methods import methods_of
from torture.grpc_fuzz.plain import plain_call
from torture.wire import Received

_RERANK = "/rerank.v1.Rerank/Rerank"
_COUNT = 300


def _plain_calls(paths: set[str]) -> list[CallCase]:
    """Return valid calls of the methods with these paths."""
    found = (plain_call(Random(number), paths) for number in range(_COUNT))
    return [case for case in found if case is not None]


async def test_valid_calls_are_accepted_by_the_server(core: Running) -> None:
    """Of both services that rank, their look-ups and the health check."""
    async with served(core) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        methods = await asyncio.to_thread(methods_of, edges.address)
        responses = {method.path: method.response for method in methods}
        calls = _plain_calls(set(responses))
        assert len({case.path for case in calls}) == 5
        for case in calls:
            outcome = await try_call(channel, case, responses)
            assert (outcome.kind, outcome.problem) == ("OK", "")
        assert any(random_call(Random(number), methods).plain for number in range(_COUNT))


async def test_a_valid_call_that_is_rejected_is_found(core: Running) -> None:
    """INVALID_ARGUMENT is right for other calls."""
    async with served(core, max_message_bytes=1) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        case, *_ = _plain_calls({_RERANK})
        outcome = await try_call(channel, case, {})
        assert outcome.problem.startswith("a valid call got RESOURCE_EXHAUSTED")
        assert (await try_call(channel, replace(case, plain=False), {})).problem == ""


def _valid_frames() -> list[FramesCase]:
    """Return each kind of frames that a server must accept."""
    cases = [random_frames(Random(number)) for number in range(_COUNT)]
    return list({case.title: case for case in cases if case.calls}.values())


@pytest.mark.parametrize(
    ("data", "serves", "problem"),
    [
        (b"grpc-status\x010", {_RERANK}, ""),
        (b"grpc-status\x013", {_RERANK}, "a valid call got status 3"),
        (b"", {_RERANK}, "a valid call got no status"),
        (b"grpc-status\x0212", set(), ""),
    ],
    ids=["accepted", "rejected", "no answer", "other port"],
)
def test_valid_frames_must_succeed(data: bytes, serves: set[str], problem: str) -> None:
    """Where the method is served."""
    cases = _valid_frames()
    assert {case.title for case in cases} == {"a valid call", "split frames"}
    for case in cases:
        assert judge_frames(case, Received(closed=True, unsent=False), data, serves=serves).problem == problem
