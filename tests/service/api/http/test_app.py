"""The REST application over a real port: unknown routes and the OpenAPI page's assets."""

import asyncio
import os
import re

import anyio.to_thread
import httpx
import pytest

from rerank_service.api.auth import Keys
from support.running import Running, Served, served


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/rerank", 405)])
async def test_unknown_route_has_the_form_of_all_errors(edges: Served, method: str, path: str, status: int) -> None:
    """Clients can parse it."""
    response = await edges.http.request(method, path)
    assert response.status_code == status
    assert response.json().keys() == {"message", "detail", "error"}
    assert ("invalid_request_error" in response.text) is False
    step = "use POST" if status == 405 else "the page /docs lists all paths"
    assert response.json()["message"].endswith(f": {step}")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path", ["/v1/inference/", "/inference//", "/model//invoke", "/v1/retrieval//reranking", "/v2/models//ready"]
)
async def test_path_without_its_model_is_unknown(edges: Served, method: str, path: str) -> None:
    """404, not a redirect that leads back to itself."""
    response = await edges.http.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_route")


async def test_openapi_page_needs_no_other_host(edges: Served) -> None:
    """The server has all assets of the page."""
    page = (await edges.http.get("/docs")).text
    assert "://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await edges.http.get(f"/static-offline-docs/{asset}")).status_code == 200


_URLS = re.compile(r"""(?:href=|src=|url: )['"]([^'"]*)['"]""")
_PREFIX = "https://example.com/a/rerank"


@pytest.mark.parametrize("sent", ["/docs", "/docs/"])
async def test_openapi_page_works_below_a_prefix(edges: Served, sent: str) -> None:
    """A proxy has removed the prefix, so the server does not know it."""
    page = await edges.http.get(str(edges.http.base_url).rstrip("/") + sent)
    asked = [httpx.URL(_PREFIX + sent).join(url).path for url in _URLS.findall(page.text)]
    names = ("swagger-ui.css", "favicon.png", "swagger-ui-bundle.js")
    assert asked == [*(f"/a/rerank/static-offline-docs/{name}" for name in names), "/a/rerank/openapi.json"]
    assert "/docs" not in page.text
    [server] = (await edges.http.get("/openapi.json")).json()["servers"]
    assert httpx.URL(_PREFIX + "/openapi.json").join(server["url"]) == f"{_PREFIX}/"


async def test_redirect_stays_below_a_prefix(edges: Served) -> None:
    """The location is relative."""
    response = await edges.http.get("/")
    assert httpx.URL(f"{_PREFIX}/").join(response.headers["location"]) == f"{_PREFIX}/docs"


async def test_path_below_the_assets_reaches_no_file(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger sends 30,000 components. To resolve them as a path of a file would take 0.3 s in a thread."""

    def refused(*_: object, **__: object) -> None:
        pytest.fail("the path reached a file or a thread")

    monkeypatch.setattr(os.path, "realpath", refused)
    monkeypatch.setattr(asyncio, "to_thread", refused)
    monkeypatch.setattr(anyio.to_thread, "run_sync", refused)
    response = await edges.http.get("/static-offline-docs" + "/a" * 30_000)
    assert response.status_code == 404


async def test_assets_have_their_types_and_tags(edges: Served) -> None:
    """A browser that has the version of a file gets no content."""
    for asset, kind in (
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("favicon.png", "image/png"),
    ):
        file = await edges.http.get(f"/static-offline-docs/{asset}")
        assert file.headers["content-type"] == kind
        known = {"if-none-match": file.headers["etag"]}
        assert (await edges.http.get(f"/static-offline-docs/{asset}", headers=known)).status_code == 304


_LOOK_UPS = ["/v1/models", "/info", "/v1/cluster/auth", "/docs", "/openapi.json"]
_HEALTH = ["/health", "/ping", "/health/live", "/health/ready"]


@pytest.mark.parametrize("path", [*_LOOK_UPS, *_HEALTH])
async def test_head_is_get_without_a_body(edges: Served, path: str) -> None:
    """Load balancers check health by HEAD."""
    edges.routes.ready = True
    get, head = await edges.http.get(path), await edges.http.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    ("path", "status"), [("/health/ready", 503), ("/health", 503), ("/ping", 503), ("/health/live", 200)]
)
async def test_health_has_its_status_for_every_method(edges: Served, method: str, path: str, status: int) -> None:
    """HAProxy checks health by OPTIONS: before the server is ready, the check must fail."""
    assert (await edges.http.request(method, path)).status_code == status
    edges.routes.ready = True
    assert (await edges.http.request(method, path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/rerank", "OPTIONS, POST"),
        ("/", "GET, HEAD, OPTIONS, POST"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/models/rerank", "OPTIONS, POST"),
        ("/info", "GET, HEAD, OPTIONS"),
        ("/static-offline-docs/swagger-ui.css", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods_of_a_path(core: Running, path: str, methods: str) -> None:
    """Without a key, as a browser asks. There are no CORS headers, so it sends nothing from another origin."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        preflight = {"origin": "https://example.com", "access-control-request-method": "POST"}
        response = await edges.http.options(path, headers=preflight)
        assert (response.status_code, response.headers["allow"], response.content) == (204, methods, b"")
        assert not [name for name in response.headers if name.startswith("access-control")]
        refused = await edges.http.request("DELETE", path)
        assert (refused.status_code, refused.headers["allow"]) == (405, methods)
        assert (await edges.http.options("/nowhere")).status_code == 404


async def test_head_requires_a_key_like_get(core: Running) -> None:
    """For look-ups that are not public."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await edges.http.head("/v1/models")).status_code == 401
        assert (await edges.http.head("/v1/models", headers={"x-api-key": "sesame"})).status_code == 200
