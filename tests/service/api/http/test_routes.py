"""The REST edge over a real port: status, body and headers of every answer."""

import asyncio
import socket
from typing import Any

import httpx
import orjson
import pytest

from rerank_service.api.address import address
from rerank_service.api.auth import Keys
from rerank_service.models.bundle import Bundle
from support.http import post, works
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served
from support.small import BOOM, NAN

PATHS = ("/v1/rerank", "/v2/rerank")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/rerank", "1"),
        ("/v2/rerank", "2"),
        ("/rerank", "1"),
        ("/v1/v1/rerank", "1"),
        ("/v1/v2/rerank", "2"),
        ("/reranking", "1"),
        ("/v1/reranking", "1"),
        ("/v3/rerank", "1"),
        ("/api/rerank", "1"),
        ("/inference/v1/rerank", "1"),
        ("/reranks", "1"),
        ("/v1/reranks", "1"),
        ("/compatible-api/v1/reranks", "1"),
    ],
)
async def test_the_answer_is_the_superset_response(edges: Served, path: str, version: str) -> None:
    """Every key that some client's parser demands, and no `message`."""
    response = await post(edges, {"model": "small", "query": "0 0", "documents": ["1", "2 2"], "top_n": 1}, path)
    answer = response.json()
    assert answer.pop("id") == response.headers["x-request-id"]
    assert answer.pop("created") > 1_700_000_000
    (result,) = answer.pop("results")
    assert result == {"index": 1, "relevance_score": pytest.approx(0.9820137900379085)}
    assert answer == {
        "object": "rerank",
        "model": "small",
        "usage": {"prompt_tokens": 13, "completion_tokens": 0, "total_tokens": 13},
        "meta": {
            "api_version": {"version": version},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 13, "output_tokens": 0},
        },
    }


async def test_search_units_are_hundreds_of_documents(edges: Served) -> None:
    """Rounded up."""
    for documents, units in ((100, 1), (101, 2)):
        answer = (await post(edges, {"query": "0", "documents": ["1"] * documents})).json()
        assert answer["meta"]["billed_units"]["search_units"] == units


async def test_documents_come_back_as_objects_with_a_text(edges: Served) -> None:
    """A string in `text`; an object with all its keys, and its compact JSON as `text` where it has none."""
    documents = ["1", {"text": "2", "n": 1}, {"title": "3", "at": [1]}, {"text": None, "title": "4"}]
    answer = (await post(edges, {"query": "0", "documents": documents, "return_documents": True, "top_n": 9})).json()
    returned = {one["index"]: one["document"] for one in answer["results"]}
    assert returned == {
        0: {"text": "1"},
        1: {"text": "2", "n": 1},
        2: {"title": "3", "at": [1], "text": '{"title":"3","at":[1]}'},
        3: {"text": '{"text":null,"title":"4"}', "title": "4"},
    }
    assert "data" not in answer


async def test_a_body_that_may_be_voyages_gets_its_list_too(edges: Served) -> None:
    """`data` beside `results`, its documents strings."""
    body = {"query": "0", "documents": ["1", {"title": "7"}], "top_k": 2, "return_documents": True}
    answer = (await post(edges, body)).json()
    assert [one["document"] for one in answer["data"]] == ['{"title":"7"}', "1"]
    assert [one["index"] for one in answer["data"]] == [one["index"] for one in answer["results"]]


@pytest.mark.parametrize(
    "extra",
    [
        {
            "top_n": None,
            "rank_fields": None,
            "return_documents": None,
            "model": None,
            "max_tokens_per_doc": None,
            "priority": None,
            "unknown": 1,
        },
        {"return_documents": "true"},
        {"return_documents": "False"},
        {"rank_fields": []},
        {"top_n": 99},
        {"top_n": 1, "top_k": 2},
        {"query": {"text": "0"}},
        {"model": "default", "priority": 3, "max_tokens_per_doc": 4},
    ],
)
async def test_what_some_client_sends_is_accepted(edges: Served, extra: dict[str, Any]) -> None:
    """Nulls, unknown keys, booleans as words, a query as an object, more results than documents."""
    response = await post(edges, {"query": "0", "documents": ["1", "", {"a": "2"}], **extra})
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == (1 if extra.get("top_n") == 1 else 3)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"documents": ["1"]}, "query", "query is required"),
        ({"query": "0"}, "documents", "documents is required"),
        ({"query": "", "documents": ["1"]}, "query", "must not be empty"),
        ({"query": 5, "documents": ["1"]}, "query", "must be a valid string"),
        ({"query": "0", "documents": []}, "documents", "must not be empty"),
        ({"query": "0", "documents": "1"}, "documents", "must be a valid list"),
        ({"query": "0", "documents": ["1", 2]}, "documents[1]", "must be a string or an object"),
        ({"query": "0", "documents": ["1", None]}, "documents[1]", "must be a string or an object"),
        ({"query": "0", "documents": ["1", {}]}, "documents[1]", "no field"),
        ({"query": "0", "documents": [{"a": "1"}], "rank_fields": ["b"]}, "documents[0]", "none of the rank_fields"),
        ({"query": "0", "documents": ["1"], "top_n": 0}, "top_n", "greater than or equal to 1"),
        ({"query": "0", "documents": ["1"], "top_n": 1.5}, "top_n", "must be a valid integer"),
        ({"query": "0", "documents": ["1"], "top_n": True}, "top_n", "must be a valid integer"),
        ({"query": "0", "documents": ["1"], "top_n": "2"}, "top_n", "must be a valid integer"),
        (
            {"query": "0", "documents": ["1"], "return_documents": "maybe"},
            "return_documents",
            "must be a valid boolean",
        ),
        ({"query": "0", "documents": ["1"], "return_documents": 1}, "return_documents", "must be a valid boolean"),
        ({"query": "0", "documents": ["1"], "rank_fields": [1]}, "rank_fields[0]", "must be a valid string"),
        ({"query": "0 " * 40, "documents": ["1"]}, "query", "leaves no room"),
    ],
)
async def test_a_wrong_field_is_named(edges: Served, path: str, body: Any, param: str, words: str) -> None:
    """400 with the text under each of the keys that clients read, and the field as `param`."""
    response = await post(edges, body, path)
    answer = response.json()
    assert response.status_code == 400
    assert words in answer["message"]
    assert answer["detail"] == answer["message"] == answer["error"]["message"]
    assert (answer["error"]["type"], answer["error"]["param"]) == ("invalid_request_error", param)
    assert isinstance(answer["error"]["code"], str)
    assert await works(edges)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'"text"', b'{"query": NaN}', b'{"a": "\\ud800"}'])
async def test_a_body_that_is_no_json_object_is_refused(edges: Served, body: bytes) -> None:
    """400, in the unified shape."""
    response = await post(edges, body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert await works(edges)


async def test_voyage_bodies_get_errors_without_an_error_object(edges: Served) -> None:
    """voyageai up to 0.4.1 fails on it while it builds its exception."""
    for key in ("top_k", "truncation"):
        answer = (await post(edges, {"query": "", "documents": ["1"], key: 1})).json()
        assert answer.keys() == {"message", "detail"}


async def test_a_body_over_the_limit_is_413(edges: Served) -> None:
    """And names no field."""
    response = await post(edges, {"query": "0", "documents": ["1" * MAX_MESSAGE_BYTES]})
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")
    assert await works(edges)


async def test_an_unknown_model_is_404(edges: Served) -> None:
    """The message lists what is served."""
    response = await post(edges, {"model": "other", "query": "0", "documents": ["1"]})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert "served: small" in response.json()["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/rerank", 405)])
async def test_an_unknown_route_answers_in_the_same_shape(edges: Served, method: str, path: str, status: int) -> None:
    """Clients parse any error alike."""
    response = await edges.http.request(method, path)
    assert response.status_code == status
    assert response.json().keys() == {"message", "detail", "error"}
    assert ("invalid_request_error" in response.text) is False


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_a_document_on_which_the_model_fails_is_500(edges: Served, word: str) -> None:
    """Its index is named; the server keeps every other request."""
    response = await post(edges, {"query": "0", "documents": ["1", word]})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert "documents[1]" in response.json()["message"]
    assert await works(edges)


async def test_a_bug_is_500_with_the_request_id_only(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong is in the log."""
    monkeypatch.setattr(edges.core.reranker, "rerank", None)
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-id": "mine"})
    assert response.status_code == 500
    assert response.json()["message"] == "internal error (request id mine)"


async def test_a_deadline_in_the_header_holds(edges: Served) -> None:
    """504, and the request leaves the queue."""
    edges.core.score.hold()
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-timeout": "0.05"})
    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    edges.core.score.release()
    assert edges.core.idle()


@pytest.mark.parametrize("sent", ["0", "-1", "soon", "nan", "inf", ""])
async def test_a_deadline_that_is_no_number_of_seconds_is_refused(edges: Served, sent: str) -> None:
    """400 that names the header."""
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-timeout": sent})
    assert response.status_code == 400
    assert "X-Request-Timeout" in response.json()["message"]


async def test_a_timeout_that_is_none_is_told_in_the_dialect_of_the_body(edges: Served) -> None:
    """Voyage's client fails on an `error` object."""
    voyage = await post(edges, {"query": "0", "documents": ["1"], "top_k": 1}, **{"x-request-timeout": "soon"})
    assert (voyage.status_code, sorted(voyage.json())) == (400, ["detail", "message"])
    tei = await post(edges, {"query": "0", "texts": ["1"]}, **{"x-request-timeout": "soon"})
    assert (tei.status_code, tei.json()["error_type"]) == (422, "Validation")


async def test_a_full_server_is_429_with_retry_after(small_model: Bundle) -> None:
    """In lower case, which together 1.x needs, and without the words that litellm takes for a bad request."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(post(edges, {"query": "0", "documents": ["1"]}))
        await core.score.started()
        response = await post(edges, {"query": "0", "documents": ["1"]})
        assert response.status_code == 429
        assert (b"retry-after", b"1") in response.headers.raw
        assert "invalid_request_error" not in response.text
        core.score.release()
        assert (await first).status_code == 200


@pytest.mark.parametrize("path", ["//v1/rerank", "/v1/rerank/", "/v1//rerank"])
async def test_a_path_may_be_joined_untidily(edges: Served, path: str) -> None:
    """A redirect would lose the body or the scheme."""
    host, port = edges.http.base_url.host, edges.http.base_url.port
    async with httpx.AsyncClient() as http:
        response = await http.post(f"http://{host}:{port}{path}", json={"query": "0", "documents": ["1"]})
    assert response.status_code == 200


@pytest.mark.parametrize("sent", ["é", "two words", "x" * 200])
async def test_a_request_id_that_is_not_fit_to_be_repeated_is_replaced(edges: Served, sent: str) -> None:
    """It would break a header, a log line, or both."""
    body = orjson.dumps({"query": "0", "documents": ["1"]})
    response = await edges.http.post("/v2/rerank", content=body, headers={b"x-request-id": sent.encode("latin-1")})
    assert response.headers["x-request-id"] == response.json()["id"] != sent


async def test_a_draining_server_is_503_with_retry_after(edges: Served) -> None:
    """And its readiness is what it was set to."""
    edges.core.admission.close()
    response = await post(edges, {"query": "0", "documents": ["1"]})
    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded_error")
    assert (b"retry-after", b"1") in response.headers.raw


async def test_health_is_live_from_the_start_and_ready_when_told(edges: Served) -> None:
    """200 and 503."""
    assert (await edges.http.get("/health/live")).status_code == 200
    early = await edges.http.get("/health/ready")
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    edges.routes.ready = True
    assert (await edges.http.get("/health/ready")).status_code == 200


async def test_models_are_listed_as_openai_does(edges: Served) -> None:
    """With what we add."""
    answer = (await edges.http.get("/v1/models")).json()
    assert answer["object"] == "list"
    assert [(one["id"], one["object"], one["max_tokens"]) for one in answer["data"]] == [("small", "model", 32)]
    assert [one["verdict"] for one in answer["data"]] == ["not verified"], "nobody has exported it"


async def test_a_client_that_hangs_up_leaves_nothing(edges: Served) -> None:
    """HTTP has no other way to cancel."""
    edges.core.score.hold()
    body = orjson.dumps({"query": "0", "documents": [str(n) for n in range(99)]})
    host, port = edges.http.base_url.host, edges.http.base_url.port
    assert port is not None
    _, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await edges.core.score.started()
    writer.close()
    while not edges.core.idle():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "BEARER sesame"},
        {"authorization": "sesame"},
        {"x-api-key": "sesame"},
        {"api-key": "sesame"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": "sesame"},
    ],
)
async def test_a_key_is_taken_in_each_form_that_clients_send(core: Running, header: dict[str, str]) -> None:
    """Scheme in any case or none, or a header of its own."""
    async with served(core, keys=Keys(["other", "sesame"])) as edges:
        assert (await post(edges, {"query": "0", "documents": ["1"]}, **header)).status_code == 200


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic c2VzYW1l"}])
async def test_without_a_right_key_the_answer_is_401(core: Running, header: dict[str, str]) -> None:
    """In the shape of the body's dialect."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await edges.http.get("/v1/models", headers=header)).status_code == 401
        stranger = await post(edges, {"query": "0", "documents": ["1" * 500_000]}, **header)
        assert stranger.status_code == 401
        response = await post(edges, {"query": "0", "documents": ["1"]}, **header)
        assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")
        voyage = await post(edges, {"query": "0", "documents": ["1"], "top_k": 1}, **header)
        assert voyage.json().keys() == {"message", "detail"}


async def test_the_openapi_page_needs_no_outside_host(edges: Served) -> None:
    """Whatever the page loads comes from here."""
    page = (await edges.http.get("/docs")).text
    assert "://" not in page
    assert (await edges.http.get("/")).headers["location"] == "/docs"
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await edges.http.get(f"/static-offline-docs/{asset}")).status_code == 200


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """gRPC and URLs want it so."""
    assert (address("::1", 80), address("127.0.0.1", 80)) == ("[::1]:80", "127.0.0.1:80")
