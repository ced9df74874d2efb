"""docs/engines.md: the request that each engine makes of its configuration, sent to a server.

The functions imitate the engines' own code: placeholders, pre-processing and post-processing. Sources:

- Elasticsearch, x-pack/plugin/inference, services/custom: CustomRequest (placeholders), RerankParameters (`query` and
  `input` as JSON), response/RerankResponseParser and common/MapPathExtractor (paths).
- OpenSearch, ml-commons, connector/functions: preprocess/CohereRerankPreProcessFunction (`query`, `documents`,
  and `top_n` as the number of documents), postprocess/CohereRerankPostProcessFunction (`(Double) relevance_score` by
  index), and MLPostProcessFunction (`$.results`).
- Weaviate, modules/reranker-transformers/clients/ranker.go, with the user of the URL as Go's net/http sends it.
- Milvus, internal/util/function/models: vllm/vllm_client.go, tei/tei.go (path `/rerank`, results sorted by index).
"""

import ast
import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from rerank_service.api.auth import Keys
from support.running import Running, Served, served

_PAGE = (Path(__file__).parents[4] / "docs" / "engines.md").read_text()
_SERVER = "http://rerank:8080"
_DOCUMENTS = ["1", '3 "quoted"\n\\', "", "2"]
_ORDER = [1, 3, 0, 2]


@pytest.fixture
async def guarded(core: Running) -> AsyncIterator[Served]:
    """Yield servers that require a key."""
    async with served(core, keys=Keys(["KEY"])) as edges:
        edges.routes.ready = True
        yield edges


def _blocks(heading: str, language: str) -> list[str]:
    section = _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def _requests(heading: str) -> dict[str, Any]:
    """Return the JSON bodies of a section by their request line, with the number of an earlier one of the same line."""
    found: dict[str, Any] = {}
    for block in _blocks(heading, "json"):
        line, _, body = block.partition("\n")
        found[line if line not in found else f"{line} 2"] = json.loads(body)
    return found


def _filled(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda match: values[match[1]], template)


async def _sent(edges: Served, url: str, content: str, headers: Mapping[str, str]) -> Any:
    """Return the JSON of the response for a request to the server of the page."""
    assert url.startswith(f"{_SERVER}/")
    response = await edges.http.post(url.removeprefix(_SERVER), content=content.encode(), headers=dict(headers))
    assert response.status_code == 200, response.text
    return response.json()


async def test_elasticsearch_hugging_face(guarded: Served) -> None:
    """A bare list, with the key as bearer. test_hugging_face.py has the parser."""
    settings = _requests("Elasticsearch")["PUT _inference/rerank/rerank-service"]
    assert settings["service"] == "hugging_face"
    settings = settings["service_settings"]
    headers = {"Authorization": f"Bearer {settings['api_key']}"}
    ranked = await _sent(guarded, settings["url"], json.dumps({"texts": _DOCUMENTS, "query": "0"}), headers)
    assert [entry["index"] for entry in ranked] == _ORDER


def _extracted(content: Any, path: str) -> list[Any]:
    """Return the values of a path such as `$.results[*].index`, as MapPathExtractor does."""
    match = re.fullmatch(r"\$\.(\w+)\[\*\]\.(\w+)", path)
    assert match is not None
    return [entry[match[2]] for entry in content[match[1]]]


async def test_elasticsearch_custom(guarded: Served) -> None:
    """As many indexes as scores. A text with quotes and line ends stays JSON."""
    settings = _requests("Elasticsearch")["PUT _inference/rerank/rerank-service 2"]["service_settings"]
    secrets = settings["secret_parameters"]
    headers = {name: _filled(value, secrets) for name, value in settings["headers"].items()}
    query = '0 "0"'
    content = _filled(settings["request"], {"query": json.dumps(query), "input": json.dumps(_DOCUMENTS)})
    response = await _sent(guarded, settings["url"], content, headers)
    paths = settings["response"]["json_parser"]
    indexes, scores = _extracted(response, paths["reranked_index"]), _extracted(response, paths["relevance_score"])
    assert indexes == _ORDER
    assert all(isinstance(score, float) for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_elasticsearch_search_uses_the_endpoint() -> None:
    """The name of the endpoint is the same."""
    requests = _requests("Elasticsearch")
    retriever = requests["POST my-index/_search"]["retriever"]["text_similarity_reranker"]
    assert f"PUT _inference/rerank/{retriever['inference_id']}" in requests


def _json_text(value: Any) -> str:
    """Return a parameter as ML Commons puts it in place of a placeholder: the escaped text of a string, or JSON."""
    return json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)


async def test_opensearch_connector(guarded: Served) -> None:
    """The post-processing casts each score to Double, and requires one for each document."""
    connector = _requests("OpenSearch")["POST /_plugins/_ml/connectors/_create"]
    (action,) = connector["actions"]
    assert action["pre_process_function"] == "connector.pre_process.cohere.rerank"
    assert action["post_process_function"] == "connector.post_process.cohere.rerank"
    processed = {"query": '0 "0"', "documents": _DOCUMENTS, "top_n": len(_DOCUMENTS)}
    values = {f"parameters.{name}": _json_text(value) for name, value in (connector["parameters"] | processed).items()}
    values |= {f"credential.{name}": value for name, value in connector["credential"].items()}
    headers = {name: _filled(value, values) for name, value in action["headers"].items()}
    response = await _sent(guarded, action["url"], _filled(action["request_body"], values), headers)
    scores: list[float | None] = [None] * len(response["results"])
    for result in response["results"]:
        assert isinstance(result["index"], int)
        assert isinstance(result["relevance_score"], float)
        scores[result["index"]] = result["relevance_score"]
    assert sorted(range(len(_DOCUMENTS)), key=lambda index: -(scores[index] or 0)) == _ORDER


def test_opensearch_trusts_the_url() -> None:
    """The regular expression matches the URL of the connector."""
    requests = _requests("OpenSearch")
    settings = requests["PUT /_cluster/settings"]["persistent"]
    (pattern,) = settings["plugins.ml_commons.trusted_connector_endpoints_regex"]
    (action,) = requests["POST /_plugins/_ml/connectors/_create"]["actions"]
    assert re.fullmatch(pattern, action["url"])


def test_opensearch_search_uses_pipeline_and_connector() -> None:
    """The rerank processor requires the text of the query in each search."""
    requests = _requests("OpenSearch")
    connector = requests["POST /_plugins/_ml/connectors/_create"]
    model = requests["POST /_plugins/_ml/models/_register?deploy=true"]
    assert (model["name"], model["function_name"]) == (connector["name"], "remote")
    (processor,) = requests["PUT /_search/pipeline/rerank"]["response_processors"]
    search = requests["POST /my-index/_search?search_pipeline=rerank"]
    assert list(search["query"]["match"]) == processor["rerank"]["context"]["document_fields"]
    (text,) = search["query"]["match"].values()
    assert search["ext"]["rerank"]["query_context"]["query_text"] == text


async def test_extreme_scores_stay_doubles(edges: Served) -> None:
    """0 and 1 are written as 0.0 and 1.0: Java's cast of an Integer to Double fails."""
    response = await edges.http.post("/v2/rerank", json={"query": "0", "documents": ["99 99 99", "0"]})
    assert re.findall(r'"relevance_score":([^,}]+)', response.text)[0] == "1.0"
    raw = await edges.http.post("/v2/rerank", json={"query": "0", "documents": ["0"], "raw_scores": True})
    assert '"relevance_score":0.0' in raw.text


async def test_weaviate(guarded: Served) -> None:
    """The key is the password of the URL. The call of `checkReady` comes first, without it."""
    (block,) = _blocks("Weaviate", "yaml")
    environment = yaml.safe_load(block)["services"]["weaviate"]["environment"]
    url = urlsplit(environment["RERANKER_INFERENCE_API"])
    assert f"{url.scheme}://{url.hostname}:{url.port}" == _SERVER
    headers = {"Authorization": f"Basic {b64encode(f'{url.username}:{url.password}'.encode()).decode()}"}
    assert (await guarded.http.get("/.well-known/ready")).status_code == 204
    body = json.dumps({"query": "0", "documents": _DOCUMENTS, "property": ""})
    response = await _sent(guarded, f"{_SERVER}/rerank", body, headers)
    scores = [entry["score"] for entry in response["scores"]]
    assert sorted(range(len(scores)), key=lambda index: -scores[index]) == _ORDER


def _milvus_parameters() -> dict[str, Any]:
    (block,) = _blocks("Milvus", "python")
    call = next(node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call))
    parameters = next(keyword.value for keyword in call.keywords if keyword.arg == "params")
    return dict(ast.literal_eval(parameters))


@pytest.mark.parametrize(
    ("provider", "documents", "truncation"),
    [
        ("vllm", "documents", {"truncate_prompt_tokens": 128}),
        ("vllm", "documents", {}),
        ("tei", "texts", {"truncate": True, "truncation_direction": "Right"}),
    ],
)
async def test_milvus(guarded: Served, provider: str, documents: str, truncation: dict[str, Any]) -> None:
    """Milvus sorts the results by index, and reads the scores by position."""
    parameters = _milvus_parameters()
    assert parameters["provider"] == "vllm"
    (block,) = _blocks("Milvus", "yaml")
    key = yaml.safe_load(block)["credential"][parameters["credential"]]["apikey"]
    body = {"query": parameters["queries"][0], documents: _DOCUMENTS, **truncation}
    url = urlsplit(parameters["endpoint"])._replace(path="/rerank").geturl()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    response = await _sent(guarded, url, json.dumps(body), headers)
    results = sorted(response if provider == "tei" else response["results"], key=lambda result: result["index"])
    scores = [result["score" if provider == "tei" else "relevance_score"] for result in results]
    assert sorted(range(len(scores)), key=lambda index: -scores[index]) == _ORDER


async def test_vespa(guarded: Served) -> None:
    """The function of the page, with a result as Vespa's /search/ returns it. Groups have no fields."""
    (block,) = _blocks("Vespa", "python")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/engines.md", "exec"), names)
    hits = [{"id": f"id:doc:{text}", "relevance": 0.1, "fields": {"text": text}} for text in ("1", "3")]
    children = [*hits, {"id": "id:doc:empty", "relevance": 0.2, "fields": {}}, {"id": "group:root"}]
    url = str(guarded.http.base_url).rstrip("/")

    def ranked(result: Any) -> Any:
        return names["rerank"](result, "0", "text", url=url)

    found = await asyncio.to_thread(ranked, {"root": {"id": "toplevel", "children": children}})
    assert [hit["id"] for hit in found] == ["id:doc:3", "id:doc:1", "id:doc:empty"]
    assert found[0]["relevance"] > found[1]["relevance"]
    assert await asyncio.to_thread(ranked, {"root": {"id": "toplevel"}}) == []
    with pytest.raises(httpx.HTTPStatusError):
        await asyncio.to_thread(
            lambda: names["rerank"]({"root": {"children": hits}}, "0", "text", url=url, key="wrong")
        )
