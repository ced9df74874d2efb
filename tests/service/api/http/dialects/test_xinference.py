"""What Xinference's client looks up."""

from rerank_service.api.auth import Keys
from support.running import Running, Served, served


async def test_whether_a_key_is_asked_for_is_told_to_everyone(core: Running) -> None:
    """The client sends its key only if so."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await edges.http.get("/v1/cluster/auth")).json() == {"auth": True}
        assert (await edges.http.get("/v1/models/small")).status_code == 401
        assert (await edges.http.get("/v1/models/small", headers={"api-key": "sesame"})).status_code == 200
    async with served(core) as edges:
        assert (await edges.http.get("/v1/cluster/auth")).json() == {"auth": False}


async def test_a_model_is_described_as_one_that_ranks(edges: Served) -> None:
    """By any of its names, which may hold slashes."""
    answer = (await edges.http.get("/v1/models/small")).json()
    assert (answer["model_type"], answer["id"], answer["max_tokens"]) == ("rerank", "small", 32)
    unknown = await edges.http.get("/v1/models/some/other")
    assert (unknown.status_code, "served: small" in unknown.text) == (404, True)
