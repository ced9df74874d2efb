"""Small requests beside a part: each must be answered correctly, whatever else happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from torture.server import KNOWN, Server, same_ranking

_PAUSE_SECONDS = 0.05
_CALL_SECONDS = 60.0
_MAX_PROBLEMS = 5
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(slots=True)
class Steady:
    """Results of the requests."""

    correct: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self) -> tuple[int, list[str]]:
        """Return the number of correct answers and the problems since the last time."""
        taken = self.correct, self.problems
        self.correct, self.problems = 0, []
        return taken


@asynccontextmanager
async def steady_requests(server: Server) -> AsyncIterator[Steady]:
    """Send the known request by gRPC, one after another, while the block runs."""
    steady = Steady()
    async with grpc.aio.insecure_channel(server.grpc, options=_OWN_CONNECTION) as channel:
        sending = asyncio.create_task(_send(pb_grpc.RerankStub(channel), server, steady))
        try:
            yield steady
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _send(stub: "pb_grpc.RerankAsyncStub", server: Server, steady: Steady) -> None:
    request = pb.RerankRequest(
        query=str(KNOWN["query"]), documents=[pb.Document(text=text) for text in KNOWN["documents"]]
    )
    while True:
        try:
            response = await stub.Rerank(request, timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            problem = f"a request beside the part failed: {error.code().name}: {error.details()}"
        else:
            answer = [(result.index, result.relevance_score) for result in response.results]
            problem = "" if same_ranking(answer, server.known) else f"a request beside the part got {answer}"
        if problem:
            steady.problems = [*steady.problems, problem][:_MAX_PROBLEMS]
        else:
            steady.correct += 1
        await asyncio.sleep(_PAUSE_SECONDS)
