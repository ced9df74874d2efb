"""The OpenAPI page says what is sent and what comes back."""

import orjson
import pytest

from rerank_service.api.dialects import all_dialects
from rerank_service.auth import Keys
from support.running import Running, Served, served


async def test_every_dialect_is_described_where_it_is_at_home(edges: Served) -> None:
    """And nothing else of the paths on which some base URL leads to it."""
    page = (await edges.http.get("/openapi.json")).json()
    asked = {path for path, operations in page["paths"].items() if "post" in operations}
    assert asked == {path for dialect in all_dialects() for path in dialect.shown}
    for path in asked:
        operation = page["paths"][path]["post"]
        assert {"200", "400", "401", "404", "413", "429", "500", "503", "504"} <= operation["responses"].keys()
        assert all("$ref" in str(one["content"]) or "anyOf" in str(one) for one in operation["responses"].values())


async def test_every_reference_leads_somewhere(edges: Served) -> None:
    """Schemas refer to each other by name."""
    page = await edges.http.get("/openapi.json")
    schemas = page.json()["components"]["schemas"]
    named = {part.split('"')[0] for part in page.text.split("#/components/schemas/")[1:]}
    assert named == schemas.keys()


async def test_every_example_is_answered(edges: Served) -> None:
    """In its dialect's own way."""
    page = (await edges.http.get("/openapi.json")).json()
    for path, operations in page["paths"].items():
        if "post" in operations:
            for example in operations["post"]["requestBody"]["content"]["application/json"]["examples"].values():
                response = await edges.http.post(path, content=orjson.dumps(example["value"]))
                assert response.status_code == 200, (path, response.text)


@pytest.mark.parametrize("keys", [[], ["sesame"]])
async def test_a_key_is_named_where_one_is_asked_for(core: Running, keys: list[str]) -> None:
    """On the paths that need it, of a server that has any."""
    async with served(core, keys=Keys(keys)) as edges:
        paths = (await edges.http.get("/openapi.json")).json()["paths"]
        guarded = {path for path, operations in paths.items() if any("security" in one for one in operations.values())}
        public = {"/health", "/health/live", "/health/ready", "/ping", "/v1/cluster/auth"}
        assert guarded == (paths.keys() - public if keys else set())
