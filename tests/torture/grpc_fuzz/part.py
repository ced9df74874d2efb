"""The parts grpc and admin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import grpc
from google.protobuf.message import Message

from torture.grpc_fuzz.calls import random_call, try_call
from torture.grpc_fuzz.case import CallCase, FramesCase, case_of
from torture.grpc_fuzz.frames import judge_frames, random_frames
from torture.grpc_fuzz.methods import Method, methods_of
from torture.part import Case, Outcome, Part
from torture.part_run import PartRun
from torture.server import Server
from torture.wire import converse

_CONCURRENCY = 16
_CHANNELS = 4
_SHARE_OF_FRAMES = 0.2
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
]


@dataclass(frozen=True, slots=True)
class _Target:
    """A port and its methods."""

    address: str
    methods: list[Method]
    responses: dict[str, type[Message]]
    channels: list[grpc.aio.Channel]

    async def try_case(self, case: CallCase | FramesCase, number: int = 0) -> Outcome:
        """Try an input, and judge what comes back."""
        if isinstance(case, CallCase):
            return await try_call(self.channels[number % len(self.channels)], case, self.responses)
        host, _, port = self.address.rpartition(":")
        received = bytearray()

        def feed(part: bytes) -> bool:
            received.extend(part)
            return False

        try:
            ended = await converse((host, int(port)), case.steps, feed)
        except OSError as error:
            return Outcome("not connected", f"the server does not accept connections: {error}", case.as_json())
        return judge_frames(case, ended, bytes(received))


@asynccontextmanager
async def _target(address: str) -> AsyncIterator[_Target]:
    methods = methods_of(address)
    channels = [grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS) for _ in range(_CHANNELS)]
    try:
        yield _Target(address, methods, {method.path: method.response for method in methods}, channels)
    finally:
        for channel in channels:
            await channel.close()


def _case(rng: Random, methods: list[Method]) -> CallCase | FramesCase:
    return random_frames(rng) if rng.random() < _SHARE_OF_FRAMES else random_call(rng, methods)


async def _run_grpc(run: PartRun) -> None:
    async with run.server() as server, _target(server.grpc) as target:

        async def attempt(number: int) -> Outcome:
            return await target.try_case(_case(run.random(number), target.methods), number)

        await run.each(attempt, server=server, concurrency=_CONCURRENCY)


async def _repeat_grpc(server: Server, case: Case) -> Outcome:
    async with _target(server.grpc) as target:
        return await target.try_case(case_of(case))


GRPC = Part(
    name="grpc",
    title="calls and HTTP/2 frames to all methods of the gRPC server",
    run=_run_grpc,
    inputs=400_000,
    slice_inputs=600,
    flags=("--header-timeout", "5", "--progress-timeout", "5"),
    repeat=_repeat_grpc,
)
