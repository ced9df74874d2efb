"""Small requests beside a part: each must be answered correctly, whatever else happens.

Beside a part that overloads the server, it may reject them.
"""

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

    may_be_rejected: bool = False
    """True if the server is overloaded on purpose."""
    correct: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self) -> tuple[int, list[str]]:
        """Return the number of correct answers and the problems since the last time."""
        taken = self.correct, self.problems
        self.correct, self.problems = 0, []
        return taken

    def add_problem(self, problem: str) -> None:
        """Note a problem of a request beside the part. Only the first ones are kept."""
        self.problems = [*self.problems, f"a request beside the part {problem}"][:_MAX_PROBLEMS]


@asynccontextmanager
async def steady_requests(server: Server, *, may_be_rejected: bool = False) -> AsyncIterator[Steady]:
    """Send the known request by gRPC, one after another, while the block runs."""
    steady = Steady(may_be_rejected)
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
            if not (steady.may_be_rejected and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED):
                steady.add_problem(f"failed: {error.code().name}: {error.details()}")
        else:
            answer = [(result.index, result.relevance_score) for result in response.results]
            if same_ranking(answer, server.known):
                steady.correct += 1
            else:
                steady.add_problem(f"got {answer}")
        await asyncio.sleep(_PAUSE_SECONDS)
