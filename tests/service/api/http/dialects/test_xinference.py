"""GET requests of Xinference's client."""

from rerank_service.api.auth import Keys
from support.running import Running, Served, served


async def test_cluster_auth_needs_no_key(core: Running) -> None:
    """The client sends its key only if `auth` is true."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await edges.http.get("/v1/cluster/auth")).json() == {"auth": True}
        assert (await edges.http.get("/v1/models/small")).status_code == 401
        assert (await edges.http.get("/v1/models/small", headers={"api-key": "sesame"})).status_code == 200
    async with served(core) as edges:
        assert (await edges.http.get("/v1/cluster/auth")).json() == {"auth": False}


async def test_model_type_is_rerank(edges: Served) -> None:
    """A model has several names, which may contain slashes."""
    content = (await edges.http.get("/v1/models/small")).json()
    assert (content["model_type"], content["id"], content["max_tokens"]) == ("rerank", "small", 32)
    unknown = await edges.http.get("/v1/models/some/other")
    assert (unknown.status_code, "served: small" in unknown.text) == (404, True)
