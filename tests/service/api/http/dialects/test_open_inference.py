"""Health checks of the Open Inference Protocol."""

import pytest

from rerank_service.api.auth import Keys
from support.running import Running, Served, served


async def test_server_and_model_are_ready(core: Running) -> None:
    """The server's health needs no API key. A model's does: an error lists the names of all models."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        edges.routes.ready = True
        for path, content in (("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True})):
            response = await edges.http.get(path)
            assert (response.status_code, response.json()) == (200, content)
        assert (await edges.http.get("/v2/models/small/ready")).status_code == 401
        response = await edges.http.get("/v2/models/small/ready", headers={"authorization": "Bearer sesame"})
        assert (response.status_code, response.json()) == (200, {"name": "small", "ready": True})


async def test_server_that_is_not_ready_is_live(edges: Served) -> None:
    """The other two have the status 503, with their body."""
    edges.routes.ready = False
    assert (await edges.http.get("/v2/health/live")).status_code == 200
    for path, content in (
        ("/v2/health/ready", {"ready": False}),
        ("/v2/models/small/ready", {"name": "small", "ready": False}),
    ):
        response = await edges.http.get(path)
        assert (response.status_code, response.json()) == (503, content)


@pytest.mark.parametrize("name", ["other", "org/other"])
async def test_unknown_model_is_404(edges: Served, name: str) -> None:
    """A name may have slashes. The message lists the served names."""
    response = await edges.http.get(f"/v2/models/{name}/ready")
    assert response.status_code == 404
    assert "served: small" in response.json()["message"]
