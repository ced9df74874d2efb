"""A program that was written for the Python client of 0.1.0.

`python client_calls.py ADDRESS` prints its results as JSON.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

import rerank.client
from rerank.client import AsyncRerankClient, RerankClient
from rerank.v1 import rerank_pb2 as pb
from upgrade.recorder.rest_calls import DOCUMENTS, KEY, QUERY


def client_results(address: str) -> dict[str, Any]:
    """Call a server by each method of both clients, and return the results and the errors."""
    return {"blocking": _blocking(address), "asyncio": asyncio.run(_with_asyncio(address))}


def _blocking(address: str) -> dict[str, Any]:
    scores: list[pb.PartialScore] = []
    with RerankClient(address, api_key=KEY, timeout=60.0, options=[("grpc.use_local_subchannel_pool", 1)]) as client:
        return {
            "rerank": _ranking(client.rerank(QUERY, DOCUMENTS)),
            "options": _ranking(client.rerank(QUERY, DOCUMENTS, model="other", top_n=2, return_documents=True)),
            "logits": _ranking(client.rerank(QUERY, DOCUMENTS, score_type=pb.SCORE_TYPE_RAW, min_score=-100.0)),
            "messages": _ranking(client.rerank(QUERY, [pb.Document(id="a", json='{"title": "fox"}')])),
            "stream": _ranking(
                client.rerank_stream(QUERY, iter(DOCUMENTS), on_scores=lambda part: scores.extend(part.scores))
            ),
            "scores of the stream": sorted([score.index, score.relevance_score] for score in scores),
            "models": [[model.name, list(model.aliases), model.ready] for model in client.models()],
            "error": _error(client),
            "wrong type": _wrong_type(client),
        }


async def _with_asyncio(address: str) -> dict[str, Any]:
    async def documents() -> AsyncIterator[str]:
        for text in DOCUMENTS:
            yield text

    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncRerankClient(address, api_key=KEY, timeout=60.0, options=options) as client:
        return {
            "rerank": _ranking(await client.rerank(QUERY, DOCUMENTS, rank_fields=["title"], priority=1)),
            "stream": _ranking(await client.rerank_stream(QUERY, documents(), max_tokens_per_doc=8)),
            "models": [model.name for model in await client.models()],
            "error": await _async_error(client),
        }


def _ranking(response: pb.RerankResponse) -> list[Any]:
    return [
        [result.index, result.id, result.relevance_score, result.logit, result.document.text]
        for result in response.results
    ]


def _error(client: RerankClient) -> str:
    try:
        client.rerank(QUERY, DOCUMENTS, model="nobody")
    except grpc.RpcError as error:
        return str(error.code())
    return "none"


def _wrong_type(client: RerankClient) -> str:
    try:
        client.rerank(QUERY, "one text")
    except TypeError as error:
        return type(error).__name__
    return "none"


async def _async_error(client: AsyncRerankClient) -> str:
    try:
        await client.rerank(QUERY, DOCUMENTS, model="nobody")
    except grpc.aio.AioRpcError as error:
        return str(error.code())
    return "none"


if __name__ == "__main__":
    print(json.dumps({"client": rerank.client.__file__} | client_results(sys.argv[1])))
