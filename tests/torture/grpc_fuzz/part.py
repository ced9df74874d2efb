"""The parts grpc and admin."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import grpc
from google.protobuf.message import Message

from rerank.v1 import admin_pb2 as admin_pb
from rerank.v1 import admin_pb2_grpc as admin_grpc
from torture.grpc_fuzz.calls import SECONDS, random_call, try_call
from torture.grpc_fuzz.case import CallCase, FramesCase, case_of
from torture.grpc_fuzz.frames import is_answered, judge_frames, random_frames
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
            return is_answered(received)

        try:
            ended = await converse((host, int(port)), case.steps, feed)
        except OSError as error:
            return Outcome("not connected", f"the server does not accept connections: {error}", case.as_json())
        return judge_frames(case, ended, bytes(received), serves=self.responses)


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


async def _run(
    run: PartRun, server: Server, address: str, restore: Callable[[], Awaitable[None]] | None = None
) -> None:
    async with _target(address) as target:

        async def attempt(number: int) -> Outcome:
            return await target.try_case(_case(run.random(number), target.methods), number)

        await run.each(attempt, server=server, concurrency=_CONCURRENCY, beside=restore is None, restore=restore)


async def _run_grpc(run: PartRun) -> None:
    async with run.server() as server:
        await _run(run, server, server.grpc)


async def _repeat_grpc(server: Server, case: Case) -> Outcome:
    async with _target(server.grpc) as target:
        return await target.try_case(case_of(case))


def _admin(server: Server) -> str:
    """Return the address of the admin port."""
    return str(server.ready["admin"])


async def _run_admin(run: PartRun) -> None:
    """No requests run beside: inputs may switch the readiness off, and unload the model."""
    async with run.server() as server:

        async def restore() -> None:
            async with grpc.aio.insecure_channel(_admin(server), options=_CHANNEL_OPTIONS) as channel:
                stub = admin_grpc.AdminStub(channel)
                await stub.LoadModel(admin_pb.LoadModelRequest(name=str(server.ready["model"])), timeout=SECONDS)
                await stub.SetReadiness(admin_pb.SetReadinessRequest(ready=True), timeout=SECONDS)

        await _run(run, server, _admin(server), restore)


async def _repeat_admin(server: Server, case: Case) -> Outcome:
    async with _target(_admin(server)) as target:
        return await target.try_case(case_of(case))


_FLAGS = ("--header-timeout", "5", "--progress-timeout", "5")
GRPC = Part(
    name="grpc",
    title="calls and HTTP/2 frames to all methods of the gRPC server",
    run=_run_grpc,
    inputs=350_000,
    slice_inputs=500,
    flags=_FLAGS,
    repeat=_repeat_grpc,
)
ADMIN = Part(
    name="admin",
    title="calls and HTTP/2 frames to all methods of the admin port",
    run=_run_admin,
    inputs=50_000,
    slice_inputs=200,
    flags=(*_FLAGS, "--admin-port", "0"),
    repeat=_repeat_admin,
)
