"""Rank any number of documents with a running server, with a progress bar for many."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import OperatorError
from rerank_service.progress import progress, stages
from rerank_service.quantities import counted, duration
from rerank_service.tools.rest_client import client_of
from rerank_service.tools.server_address import ServerAddress

_UNARY_DOCUMENTS = 256
_UNARY_CHARS = 1_000_000
"""Maximum size of a unary call. It fits into one message, also at a server with small limits."""
_MANY_SECONDS = 24 * 3600.0
"""Deadline of more documents. The default of a server, 60 s, is meant for requests of a search."""
_FEW_SECONDS = 600.0
"""Maximum wait for any other response, if the deadline is that of the server. It ends calls of a server that hangs."""


async def rank(
    server: ServerAddress,
    query: str,
    texts: Sequence[str],
    *,
    api_key: str | None,
    seconds: float | None,
    model: str,
    top_n: int | None,
    score_type: pb.ScoreType.ValueType,
) -> pb.RerankResponse:
    """Return the ranking. Many documents go to a gRPC server as a stream, up to `max_stream_documents` of the model.

    `seconds` is the deadline. None: one day for more than 256 documents or a million characters, else the default of
    the server. Then, the wait ends after 10 minutes.

    Raises:
        OperatorError: the server does not respond in this time.
        RerankError: the call over gRPC failed.
        RestCallFailed: the call over HTTP failed.
        InvalidRequest: `top_n` is negative.
    """
    many = len(texts) > _UNARY_DOCUMENTS or sum(map(len, texts)) > _UNARY_CHARS
    streams = many and server.protocol == "grpc"
    timeout = seconds or (_MANY_SECONDS if many else None)
    async with (
        client_of(server, api_key=api_key, timeout=timeout) as client,
        _bounded(server, None if timeout else _FEW_SECONDS),
    ):
        if streams and isinstance(client, AsyncRerankClient):
            with progress("ranking", len(texts)) as advance:
                return await client.rerank_stream(
                    query,
                    texts,
                    on_scores=lambda scores: advance(len(scores.scores)),
                    model=model,
                    top_n=top_n,
                    score_type=score_type,
                )
        if not many:
            return await client.rerank(query, texts, model=model, top_n=top_n, score_type=score_type)
        with stages() as stage:
            stage(f"ranking {counted(len(texts), 'document')}")
            return await client.rerank(query, texts, model=model, top_n=top_n, score_type=score_type)


@asynccontextmanager
async def _bounded(server: ServerAddress, seconds: float | None) -> AsyncIterator[None]:
    """End a call of a server that hangs. None: the call has a deadline.

    Raises:
        OperatorError: the time is over.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise OperatorError(
            f"{server.target}: no response after {duration(seconds or 0.0)}: check that the server works, or give "
            "another limit with --timeout"
        ) from error
