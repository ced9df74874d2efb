"""The OpenAPI page: every dialect, reference, example and API key."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from rerank_service.api.auth import Keys
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.dialects.paths import shown_path
from rerank_service.encoding.template import Template
from support.running import Running, Served, running, served
from support.small import write_small_model


async def test_every_dialect_is_described_on_its_own_paths(edges: Served) -> None:
    """Paths that only some base URL leads to are not described."""
    page = (await edges.http.get("/openapi.json")).json()
    ranking_paths = {path for path, operations in page["paths"].items() if "post" in operations}
    documented = {path for dialect in all_dialects() for path in dialect.documented_paths}
    assert ranking_paths == set(map(shown_path, documented))
    for path in ranking_paths:
        operation = page["paths"][path]["post"]
        timeout = "408" if path.startswith(("/model/", "/api/v1/rerank")) else "504"  # of Bedrock and OpenRouter
        statuses = {"200", "400", "401", "403", "404", "413", "429", "500", "503", timeout}
        assert statuses <= operation["responses"].keys()
        assert all(
            "$ref" in str(response["content"]) or "anyOf" in str(response)
            for response in operation["responses"].values()
        )


async def test_each_operation_names_its_client_and_has_a_group(edges: Served) -> None:
    """Only aliases of a path have the same summary, and each group is described and used."""
    page = (await edges.http.get("/openapi.json")).json()
    operations = [operation for operations in page["paths"].values() for operation in operations.values()]
    summaries = Counter(operation["summary"] for operation in operations)
    assert [summary for summary, count in summaries.items() if count > 1] == ["Rank documents: vLLM (scores of pairs)"]
    assert list(page["paths"])[:2] == ["/v1/rerank", "/v2/rerank"]
    assert page["paths"]["/v2/rerank"]["post"]["summary"] == "Rank documents: Cohere v2"
    assert "TEI, Weaviate, Jina" in page["paths"]["/rerank"]["post"]["summary"]
    groups = [tag["name"] for tag in page["tags"] if tag["description"]]
    assert {tag for operation in operations for tag in operation["tags"]} == set(groups)
    assert all(len(operation["tags"]) == 1 for operation in operations)


async def test_every_reference_has_a_schema(edges: Served) -> None:
    """Schemas refer to each other by name, and all are used."""
    page = await edges.http.get("/openapi.json")
    schemas = page.json()["components"]["schemas"]
    named = {part.split('"')[0] for part in page.text.split("#/components/schemas/")[1:]}
    assert named == schemas.keys()


async def test_every_example_is_accepted(edges: Served) -> None:
    """The server responds with 200."""
    page = (await edges.http.get("/openapi.json")).json()
    for path, operations in page["paths"].items():
        if "post" in operations:
            for example in operations["post"]["requestBody"]["content"]["application/json"]["examples"].values():
                sent = path.replace("{model}", "default")
                response = await edges.http.post(sent, content=orjson.dumps(example["value"]))
                assert response.status_code == 200, (path, response.text)


@pytest.mark.parametrize("keys", [[], ["sesame"]])
async def test_operations_that_require_a_key_are_marked(core: Running, keys: list[str]) -> None:
    """If the server has no keys, none is marked."""
    async with served(core, keys=Keys(keys)) as edges:
        paths = (await edges.http.get("/openapi.json")).json()["paths"]
        guarded = {
            path
            for path, operations in paths.items()
            if any("security" in operation for operation in operations.values())
        }
        open_inference = ("/v2/health/live", "/v2/health/ready")
        weaviate = ("/.well-known/live", "/.well-known/ready")
        public = {"/health", "/health/live", "/health/ready", "/ping", "/v1/cluster/auth", *open_inference, *weaviate}
        assert guarded == (paths.keys() - public if keys else set())


async def test_authorize_offers_both_forms_of_a_key(core: Running) -> None:
    """Each operation requires one of the schemes, and the server accepts each as the page describes it."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        page = (await edges.http.get("/openapi.json")).json()
        schemes = page["components"]["securitySchemes"]
        assert [{name: []} for name in schemes] == page["paths"]["/v1/rerank"]["post"]["security"]
        body = {"query": "0", "documents": ["1"]}
        for scheme in schemes.values():
            header = (
                {"authorization": "Bearer sesame"}
                if (scheme["type"], scheme.get("scheme")) == ("http", "bearer")
                else {scheme["name"]: "sesame"}
            )
            assert (await edges.http.post("/v1/rerank", json=body, headers=header)).status_code == 200
        assert len(schemes) == 2


@pytest.mark.parametrize("slot", [True, False])
async def test_fields_that_the_model_does_not_support_are_marked(tmp_path: Path, slot: bool) -> None:
    """An instruction needs a place in the template, and calibrated scores need a calibration."""
    texts = ("[CLS]", "{instruction}", "{query}") if slot else ("[CLS]", "{query}")
    bundle = write_small_model(tmp_path / "model", template=Template(before=texts, after=("[SEP]",)))
    async with running(bundle) as core, served(core) as edges:
        schemas = (await edges.http.get("/openapi.json")).json()["components"]["schemas"]
        for name, field in (("UnifiedBody", "instruction"), ("DashScopeParameters", "instruct")):
            assert ("maxLength" in schemas[name]["properties"][field]) is not slot
        assert "calibrated" not in str(schemas["UnifiedBody"]["properties"]["score_type"]["anyOf"])


async def test_neutral_values_are_on_the_page(edges: Served) -> None:
    """0 for a limit, and an empty text for a choice."""
    schemas = (await edges.http.get("/openapi.json")).json()["components"]["schemas"]

    def types(body: str, field: str) -> list[dict[str, Any]]:
        return list(schemas[body]["properties"][field]["anyOf"])

    for name in ("top_n", "top_k", "max_tokens_per_doc", "max_chunks_per_doc"):
        assert types("UnifiedBody", name)[0] == {"type": "integer", "minimum": 0}
    for body, name in (("MixedbreadBody", "top_k"), ("NvidiaBody", "top_n"), ("DashScopeParameters", "top_n")):
        assert types(body, name)[0]["minimum"] == 0
    for body, name in (
        ("UnifiedBody", "window_score"),
        ("UnifiedBody", "score_type"),
        ("ScoreBody", "truncation_side"),
        ("TeiBody", "truncation_direction"),
    ):
        assert "" in types(body, name)[0]["enum"]
    assert {"type": "array", "maxItems": 0} in types("DashScopeBody", "parameters")
