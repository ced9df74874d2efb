"""Requests that a server rejects: their documents, their query or their options are wrong."""

import asyncio
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rerank.client import AsyncRerankClient
from rerank.errors import DeadlineExceeded, Internal, InvalidArgument, ResourceExhausted, Unauthenticated
from rerank.v1 import rerank_pb2 as pb
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.rejections import Wrong, what_is_wrong
from rerank_service.tools.batch.remote_scorer import RemoteScorer
from rerank_service.tools.rest_client import RestClient
from rerank_service.tools.rest_failure import RestCallFailed
from rerank_service.tools.server_address import server_address
from support.http import listening
from support.limits import request_limits
from support.running import Served


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (InvalidArgument("", field="documents[3]"), Wrong.DOCUMENTS),
        (InvalidArgument("", field="documents"), Wrong.DOCUMENTS),
        (InvalidArgument("", field="query"), Wrong.QUERY),
        (InvalidArgument("", field="score_type"), Wrong.OTHER),
        (InvalidArgument(""), Wrong.UNKNOWN),
        (ResourceExhausted(""), Wrong.DOCUMENTS),  # the message is too large
        (Internal(""), Wrong.DOCUMENTS),
        (DeadlineExceeded(""), Wrong.DOCUMENTS),
        (Unauthenticated(""), Wrong.OTHER),
        (RestCallFailed("", status=400), Wrong.UNKNOWN),
        (RestCallFailed("", status=422), Wrong.UNKNOWN),
        (RestCallFailed("", status=413), Wrong.DOCUMENTS),
        (RestCallFailed("", status=500), Wrong.DOCUMENTS),
        (RestCallFailed("", status=401), Wrong.OTHER),
    ],
)
def test_what_is_wrong(error: Exception, wrong: Wrong) -> None:
    """Only a gRPC error names the field."""
    assert what_is_wrong(error) is wrong


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the documents of each call."""
    seen: list[list[str]] = []

    def record(kind: Any) -> None:
        rerank = kind.rerank

        async def recorded(client: Any, query: str, documents: list[str], **options: Any) -> pb.RerankResponse:
            seen.append(list(documents))
            response: pb.RerankResponse = await rerank(client, query, documents, **options)
            return response

        monkeypatch.setattr(kind, "rerank", recorded)

    record(AsyncRerankClient)
    record(RestClient)
    return seen


def _scored_at(address: str, pairs: Pairs, score_type: pb.ScoreType.ValueType) -> PairScores:
    options = {"score_type": score_type}
    with RemoteScorer(server_address(address), api_key=None, model="", options=options) as scorer:
        return scorer.submit(pairs)()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_an_error_of_the_query_is_one_of_all_its_pairs(
    edges: Served, protocol: str, calls: list[list[str]], short_text: str
) -> None:
    """The documents are not sent in parts. Over REST, the query is sent with another document."""
    documents = ["1", "2", "3"]
    pairs = Pairs(["q" * (request_limits().max_query_chars + 1)] * 3, documents)
    address = edges.address if protocol == "grpc" else str(edges.http.base_url)
    scored = await asyncio.to_thread(_scored_at, address, pairs, pb.SCORE_TYPE_RAW)
    assert list(scored.errors) == [0, 1, 2]
    assert all("query has " in error for error in scored.errors.values())
    assert calls == ([documents] if protocol == "grpc" else [documents, [short_text]])


async def test_an_error_of_a_document_is_one_of_its_pair(calls: list[list[str]], short_text: str) -> None:
    """Over REST, the query is tried alone only once."""

    async def rank(request: Request) -> JSONResponse:
        documents = (await request.json())["documents"]
        if "bad" in documents:
            return JSONResponse({"message": "bad"}, HTTPStatus.BAD_REQUEST)
        results = [{"index": index, "relevance_score": 0.5} for index in range(len(documents))]
        return JSONResponse({"results": results})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url:
        scored = await asyncio.to_thread(_scored_at, url, Pairs(["q"] * 4, ["1", "2", "3", "bad"]), pb.SCORE_TYPE_RAW)
    np.testing.assert_array_equal(scored.scores, [0.5, 0.5, 0.5, np.nan])
    assert calls == [["1", "2", "3", "bad"], [short_text], ["1", "2"], ["3", "bad"], ["3"], ["bad"]]


async def test_an_error_of_an_option_ends_the_job(edges: Served, calls: list[list[str]]) -> None:
    """No pair can be scored, for example since the server has another model now."""
    with pytest.raises(InvalidArgument, match="this model has no calibration"):
        await asyncio.to_thread(_scored_at, edges.address, Pairs(["q"] * 4, list("1234")), pb.SCORE_TYPE_CALIBRATED)
    assert calls == [list("1234")]
