"""The REST application over a real port: unknown routes and the OpenAPI page's assets."""

import pytest

from support.running import Served


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/rerank", 405)])
async def test_unknown_route_has_the_form_of_all_errors(edges: Served, method: str, path: str, status: int) -> None:
    """Clients can parse it."""
    response = await edges.http.request(method, path)
    assert response.status_code == status
    assert response.json().keys() == {"message", "detail", "error"}
    assert ("invalid_request_error" in response.text) is False


async def test_openapi_page_needs_no_other_host(edges: Served) -> None:
    """The server has all assets of the page."""
    page = (await edges.http.get("/docs")).text
    assert "://" not in page
    assert (await edges.http.get("/")).headers["location"] == "/docs"
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await edges.http.get(f"/static-offline-docs/{asset}")).status_code == 200
