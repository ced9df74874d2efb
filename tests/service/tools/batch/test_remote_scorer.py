"""Many pairs, scored by a running server."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from itertools import count
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rerank.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    Overloaded,
    RerankError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import SettingsInvalid
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.remote_scorer import RemoteScorer
from rerank_service.tools.rest_failure import RestCallFailed
from rerank_service.tools.server_address import server_address
from rerank_service.tools.server_calls import REPEATS, TIMEOUT_REPEATS, Failure, failure, repeated
from support.http import listening
from support.limited_server import SLOW, LimitedServer, limited_server
from support.running import Served
from support.scripted import scripted
from support.small import BOOM

_RAW: dict[str, Any] = {"score_type": pb.SCORE_TYPE_RAW}


def _address(edges: Served, protocol: str) -> str:
    return edges.address if protocol == "grpc" else str(edges.http.base_url)


async def _scored(edges: Served, protocol: str, pairs: Pairs, **options: Any) -> PairScores:
    def score() -> PairScores:
        address = server_address(_address(edges, protocol))
        with RemoteScorer(address, api_key=None, model="", options={**_RAW, **options}) as scorer:
            return scorer.submit(pairs)()

    return await asyncio.to_thread(score)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_each_pair_gets_its_score(edges: Served, protocol: str) -> None:
    """Consecutive pairs with one query are one request, of at most 256 documents."""
    queries = [*(["a"] * 600), "b", "a"]
    documents = [str(at % 97) for at in range(len(queries))]
    scored = await _scored(edges, protocol, Pairs(queries, documents))
    assert scored.scores.tolist() == [float(document) for document in documents]
    assert not scored.errors


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_equal_scores_keep_the_order_of_the_server(edges: Served, protocol: str) -> None:
    """The sigmoid of 40 and that of 90 round to 1. The server ranks by logit."""
    scored = await _scored(edges, protocol, Pairs(["q"] * 3, ["40", "90", "5"]), score_type=pb.SCORE_TYPE_SIGMOID)
    assert scored.scores[0] == scored.scores[1] == 1
    assert np.argsort(-scored.order).tolist() == [1, 0, 2]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_pair_that_the_server_rejects_fails_alone(edges: Served, protocol: str) -> None:
    """The model fails on one, and one may not be cut."""
    documents = ["1", f"2 {BOOM}", "3", "4 " * 40, "5"]
    options = {"too_long": pb.TOO_LONG_REFUSE} if protocol == "grpc" else {}
    scored = await _scored(edges, protocol, Pairs(["q"] * 5, documents), **options)
    assert "the model failed on the document" in scored.errors[1]
    if protocol == "grpc":
        assert "the document is too long" in scored.errors[3]
    np.testing.assert_array_equal(np.isnan(scored.scores), [False, True, False, protocol == "grpc", False])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_the_identity_names_the_model_of_the_server(edges: Served, protocol: str) -> None:
    """A job continues with the same model at another address, and not with another model. The server accepts `default`
    without listing it."""

    def identity(model: str) -> dict[str, str]:
        address = server_address(_address(edges, protocol))
        with RemoteScorer(address, api_key=None, model=model, options={}) as scorer:
            return scorer.identity()

    digest = edges.core.model.info.digest
    expected = {
        "model": f"small {digest}",
        "engine": "CPUExecutionProvider fp32",
        "tokens read of a document": "8192",
        "tokens of a window": "the default of the model",
        "longest query": "100000 characters",
        "longest document": "1000000 characters",
    }
    assert await asyncio.to_thread(identity, "") == expected
    assert await asyncio.to_thread(identity, "small") == expected
    assert await asyncio.to_thread(identity, "default") == expected
    with pytest.raises(SettingsInvalid, match="does not serve other: --served-model is one of small"):
        await asyncio.to_thread(identity, "other")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (RestCallFailed("", status=422), Failure.REQUEST),
        (RestCallFailed("", status=413), Failure.REQUEST),
        (RestCallFailed("", status=429), Failure.BUSY),
        (RestCallFailed("", status=503), Failure.BUSY),
        (RestCallFailed("", status=504), Failure.TIMEOUT),
        (RestCallFailed("", status=408), Failure.BUSY),
        (RestCallFailed("", status=500), Failure.REQUEST),
        (RestCallFailed("", status=501), Failure.FATAL),
        (RestCallFailed("", status=520), Failure.BUSY),  # a proxy's own status: no valid response
        (RestCallFailed("", status=524), Failure.TIMEOUT),
        (RestCallFailed("", status=530), Failure.BUSY),
        (RestCallFailed("no connection"), Failure.BUSY),
        (RestCallFailed("", status=401), Failure.FATAL),
        (RestCallFailed("", status=404), Failure.FATAL),
    ],
)
def test_the_meaning_of_a_failure(error: Exception, meaning: Failure) -> None:
    """Only errors of a single request become errors of rows."""
    assert failure(error) is meaning


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        (InvalidArgument, Failure.REQUEST),
        (ResourceExhausted, Failure.REQUEST),  # the message is too large
        (Overloaded, Failure.BUSY),
        (Unavailable, Failure.BUSY),
        (Cancelled, Failure.BUSY),
        (DeadlineExceeded, Failure.TIMEOUT),
        (Unauthenticated, Failure.FATAL),
    ],
)
def test_the_meaning_of_a_grpc_error(kind: type[RerankError], meaning: Failure) -> None:
    """The same errors have the same meaning over HTTP."""
    assert failure(kind("")) is meaning


def test_the_identity_of_a_model_that_is_not_loaded_has_its_engine() -> None:
    """A request loads it. Otherwise, the same job could not continue after its first requests."""
    for name in ("", "docs", "default"):
        with limited_server() as server, _scorer(server, name) as scorer:
            before = scorer.identity()
            assert before == {"model": "docs v1", "engine": "CPUExecutionProvider fp32"}
            assert scorer.identity(patient=True) == before
            assert len(server.calls) == (2 if name == "default" else 1)


def test_a_key_without_models_is_told_so() -> None:
    """An empty list of names would not help."""
    with (
        scripted() as server,
        RemoteScorer(server_address(server.address), api_key=None, model="a", options={}) as scorer,
        pytest.raises(SettingsInvalid, match="shows no model to this API key: use another key"),
    ):
        scorer.identity()


def test_documents_that_miss_the_deadline_together_are_sent_in_parts() -> None:
    """The same request would miss it again. A document that misses it alone is an error of its row."""
    with limited_server(max_documents=3) as server, _scorer(server) as scorer:
        documents = [*map(str, range(20)), SLOW]
        scored = scorer.submit(Pairs(["q"] * 21, documents))()
    assert scored.scores[:20].tolist() == list(range(20))
    assert dict(scored.errors) == {20: "the request would miss its deadline"}
    assert server.calls.count([SLOW]) == 1 + TIMEOUT_REPEATS
    assert server.calls.count(documents) == 1


@pytest.mark.parametrize("status", [StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL])
def test_a_server_that_scores_nothing_ends_the_job(
    monkeypatch: pytest.MonkeyPatch, status: StatusCode, short_text: str
) -> None:
    """Its rows would otherwise be listed as errors."""
    monkeypatch.setattr("rerank_service.tools.server_calls._MAX_PAUSE_SECONDS", 0)
    with limited_server() as server, _scorer(server) as scorer:
        server.broken = status
        with pytest.raises(NothingScored, match="either: the server is broken"):
            scorer.submit(Pairs(["q", "q"], ["1", "2"]))()
    if status is StatusCode.INTERNAL:
        assert server.calls == [["1", "2"], [short_text]]


@pytest.mark.parametrize(("failures", "errors"), [(2, []), (3, [0]), (99, [0, 1])])
async def test_a_document_is_sent_again_after_an_error_of_the_server(
    failures: int, errors: list[int], short_text: str
) -> None:
    """The status 500 of REST is such an error. The server scores the short pair all the time."""
    calls: list[list[str]] = []

    async def rank(request: Request) -> JSONResponse:
        documents = (await request.json())["documents"]
        if documents != [short_text]:
            calls.append(documents)
            if len(calls) <= failures:
                return JSONResponse({"message": "a bug"}, HTTPStatus.INTERNAL_SERVER_ERROR)
        results = [{"index": index, "relevance_score": 0.5} for index in range(len(documents))]
        return JSONResponse({"results": results})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url:
        scored = await asyncio.to_thread(_scored_at, url, Pairs(["q", "q"], ["1", "2"]))
    assert list(scored.errors) == errors
    assert calls == [["1", "2"], ["1"], ["1"], ["2"], *([["2"]] if errors == [0, 1] else [])]


async def test_a_proxy_that_waits_for_the_server_loses_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """It responds with 504 to all requests while the server restarts. This says nothing about the documents."""
    monkeypatch.setattr("rerank_service.tools.server_calls._MAX_PAUSE_SECONDS", 0)
    calls = count()

    async def rank(request: Request) -> JSONResponse:
        documents = (await request.json())["documents"]
        if next(calls) < 15:
            return JSONResponse({"message": "no server"}, HTTPStatus.GATEWAY_TIMEOUT)
        results = [{"index": index, "relevance_score": 0.5} for index in range(len(documents))]
        return JSONResponse({"results": results})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url:
        scored = await asyncio.to_thread(_scored_at, url, Pairs(["q"] * 9, list("123456789")))
    assert scored.scores.tolist() == [0.5] * 9
    assert not scored.errors


def _scored_at(url: str, pairs: Pairs) -> PairScores:
    with RemoteScorer(server_address(url), api_key=None, model="", options={}) as scorer:
        return scorer.submit(pairs)()


def _scorer(server: LimitedServer, model: str = "") -> RemoteScorer:
    return RemoteScorer(server_address(server.address), api_key=None, model=model, options=_RAW)


async def test_a_call_is_repeated_while_the_server_is_busy() -> None:
    """The pauses grow to 30 s, give or take a random half of that. The last error is raised."""
    pauses: list[float] = []
    calls = iter([503, 429, 0])

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def call() -> str:
        if (status := next(calls, None)) is not None:
            raise RestCallFailed("busy", status=status)
        return "scored"

    async def busy() -> str:
        raise RestCallFailed("busy", status=503)

    assert await repeated(call, pause) == "scored"
    assert all(mean / 2 <= seconds <= 1.5 * mean for seconds, mean in zip(pauses, [0.5, 1, 2], strict=True))
    with pytest.raises(RestCallFailed):
        await repeated(busy, pause)
    assert len(pauses) == 3 + REPEATS
    longest = pauses[-30:]
    assert all(15 <= seconds <= 45 for seconds in longest)
    assert len(set(longest)) > 1  # calls that fail together do not return together


@pytest.mark.parametrize(
    "errors",
    [
        (Overloaded("", retry_after=45.0), Overloaded("", retry_after=0.1)),
        (RestCallFailed("", status=429, retry_after=45.0), RestCallFailed("", status=503, retry_after=0.1)),
    ],
    ids=["grpc", "http"],
)
async def test_a_pause_is_as_long_as_the_server_asks_for(errors: Sequence[Exception]) -> None:
    """`retry_after` of an overload, if it is longer than the pause."""
    pauses: list[float] = []
    failures = iter(errors)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def call() -> str:
        if error := next(failures, None):
            raise error
        return "scored"

    assert await repeated(call, pause) == "scored"
    first, second = pauses
    assert 45 <= first <= 45.5
    assert 0.5 <= second <= 1.5


async def test_a_server_that_asks_for_hours_is_not_waited_for() -> None:
    """A page for maintenance may ask for a day. The command ends with its message."""

    async def call() -> None:
        raise RestCallFailed("maintenance", status=503, retry_after=86_400.0)

    async def pause(seconds: float) -> None:
        pytest.fail(f"waited for {seconds} s")

    with pytest.raises(RestCallFailed, match="maintenance"):
        await repeated(call, pause)
