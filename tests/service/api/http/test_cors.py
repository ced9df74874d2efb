"""CORS over a real port: as a browser sends preflight and actual requests."""

from typing import Any

import httpx
import pytest

from rerank_service.api.auth import Keys
from rerank_service.api.http.cors import EXPOSED_HEADERS
from support.http import post
from support.running import Running, Served, served

ORIGIN = "https://search.example.com"
BODY = {"query": "0", "documents": ["1"]}
SAFE = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
"""Response headers that browsers show to every script (Fetch standard, CORS-safelisted response-header name)."""
HIDDEN = {"date", "vary", "content-encoding", "connection"}
"""Response headers that are for browsers and proxies, not for scripts."""


def _preflight(method: str = "POST", origin: str = ORIGIN, **headers: str) -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": method, **headers}


def _cors_headers(response: httpx.Response) -> list[str]:
    return [name for name in response.headers if name.startswith("access-control")]


async def test_without_origins_there_are_no_headers(edges: Served) -> None:
    """Neither for a preflight request nor for an actual one, so a browser sends and shows nothing."""
    responses = [
        await edges.http.options("/v1/rerank", headers=_preflight()),
        await post(edges, BODY, origin=ORIGIN),
        await edges.http.get("/nowhere", headers={"origin": ORIGIN}),
    ]
    assert [response.status_code for response in responses] == [204, 200, 404]
    assert not [name for response in responses for name in _cors_headers(response)]


@pytest.mark.parametrize(
    "asked",
    [
        "authorization,content-type",
        "x-api-key,content-type,x-request-id,x-request-timeout",
        "authorization,content-type,x-stainless-lang,x-stainless-retry-count",
        "content-type,x-fern-language,x-fern-sdk-name",
    ],
)
async def test_preflight_needs_no_key(core: Running, asked: str) -> None:
    """A browser sends it without the key. The headers of known clients are allowed."""
    async with served(core, keys=Keys(["sesame"]), cors_origins=(ORIGIN,)) as edges:
        for path in ("/v1/rerank", "/v2/rerank", "/v1/models", "/health/ready"):
            headers = _preflight(**{"access-control-request-headers": asked})
            response = await edges.http.options(path, headers=headers)
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert response.headers["access-control-allow-headers"] == asked
            assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST"
            assert "origin" in response.headers["vary"].lower()
            assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [("x" * 1024, True), ("x" * 1025, False), ("x-a," * 15_000, False), ("x-a,<script>", False), ("x-a;x-b", False)],
)
async def test_only_short_names_of_headers_are_repeated(core: Running, asked: str, allowed: bool) -> None:
    """No caller chooses a response header of 60 KB. Without the header, a browser sends no request."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        headers = _preflight(**{"access-control-request-headers": asked})
        response = await edges.http.options("/v1/rerank", headers=headers)
        assert response.headers.get("access-control-allow-headers") == (asked if allowed else None)


async def test_preflight_that_asks_for_no_header(core: Running) -> None:
    """It gets none."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        response = await edges.http.options("/v1/rerank", headers=_preflight())
        assert response.status_code == 200
        assert "access-control-allow-headers" not in response.headers


@pytest.mark.parametrize("headers", [_preflight(origin="https://evil.example"), _preflight(method="DELETE")])
async def test_preflight_of_others_is_rejected(core: Running, headers: dict[str, str]) -> None:
    """Another origin or another method. The browser sends no request."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        response = await edges.http.options("/v1/rerank", headers=headers)
        assert response.status_code == 400
        if headers["origin"] != ORIGIN:
            assert "access-control-allow-origin" not in response.headers


async def test_responses_and_errors_are_readable(core: Running) -> None:
    """Also 401, 404 and 405: a script shows the message to its user."""
    async with served(core, keys=Keys(["sesame"]), cors_origins=(ORIGIN, "http://localhost:3000")) as edges:
        for origin in (ORIGIN, "http://localhost:3000"):
            responses = [
                await post(edges, BODY, **{"origin": origin, "x-api-key": "sesame"}),
                await post(edges, BODY, origin=origin),
                await edges.http.get("/nowhere", headers={"origin": origin}),
                await edges.http.get("/v1/rerank", headers={"origin": origin}),
            ]
            assert [response.status_code for response in responses] == [200, 401, 404, 405]
            for response in responses:
                assert response.headers["access-control-allow-origin"] == origin
                assert "x-request-id" in response.headers["access-control-expose-headers"]


async def test_other_origins_get_no_headers(core: Running) -> None:
    """The request is processed as from any client without a browser, but no page can read the response."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", "http://search.example.com"):
            response = await post(edges, BODY, origin=origin)
            assert "access-control-allow-origin" not in response.headers


async def test_all_origins(core: Running) -> None:
    """`*`, without credentials."""
    async with served(core, cors_origins=("*",)) as edges:
        response = await post(edges, BODY, origin="https://any.example")
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers


async def test_options_of_health_checks_stays(core: Running) -> None:
    """HAProxy checks health by OPTIONS, without the headers of a preflight request."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        assert (await edges.http.options("/health/ready")).status_code == 503
        assert (await edges.http.options("/v1/rerank")).status_code == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/rerank", {**BODY, "query": "1 " * 30, "max_tokens_per_query": 2}),
        ("/rerank", {"query": "0", "texts": ["1"]}),
        ("/v2/rerank", {**BODY, "query": ""}),
        ("/rerank", {"queries": [], "sources": []}),
        ("/v2/rerank", {"query": "0", "documents": [str(n) for n in range(400)]}),
    ],
)
async def test_scripts_may_read_all_our_headers(core: Running, path: str, body: dict[str, Any]) -> None:
    """A header that is new must be added to the list."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        response = await post(edges, body, path, origin=ORIGIN)
        own = {name for name in response.headers if not name.startswith("access-control")} - SAFE - HIDDEN
        assert own <= set(EXPOSED_HEADERS)
        assert "x-request-id" in own


@pytest.mark.parametrize(
    ("wrong", "status"), [({"a": "b" * 66_000}, 431), ({"transfer-encoding": "chunked", "content-length": "2"}, 400)]
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_scripts_may_read_errors_about_headers(
    core: Running, wrong: dict[str, str], status: int, method: str
) -> None:
    """A preflight request gets the error, too: its connection is closed, as its end is not known for sure."""
    async with served(core, cors_origins=(ORIGIN,)) as edges:
        response = await edges.http.request(method, "/v1/rerank", headers={**_preflight(), **wrong}, content=b"{}")
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["connection"] == "close"
        response = await edges.http.request("OPTIONS", "/v1/rerank", headers=wrong, content=b"{}")
        assert (response.status_code, _cors_headers(response)) == (status, [])
