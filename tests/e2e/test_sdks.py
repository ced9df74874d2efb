"""Real SDKs against a started server; only their base URL is changed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import cohere
import pytest
import together

from rerank_service.cli.output import example
from support.process import Process, started
from support.rest_calls import post

OBJECTS = [{"title": "Rome", "text": "Rome is the capital of Italy."}, {"title": "Paris", "text": "Capital of France"}]


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """Serve the bundled model, with a low limit of documents per request."""
    with started("--max-documents", "100") as process:
        yield process


@pytest.mark.parametrize("base", ["", "/v1"])
@pytest.mark.parametrize("kind", [cohere.Client, cohere.ClientV2])
def test_cohere(server: Process, kind: type[cohere.Client] | type[cohere.ClientV2], base: str) -> None:
    """Client and ClientV2, with the root URL of the server or with /v1."""
    with kind(api_key="any", base_url=server.rest + base) as client:
        response = client.rerank(model="starter", query=example.QUERY, documents=list(example.DOCUMENTS), top_n=3)
        assert next(result.index for result in response.results) == 2
        assert len(response.results) == 3
        scores = [result.relevance_score for result in response.results]
        assert scores == sorted(scores, reverse=True)
        assert response.meta is not None
        assert response.meta.billed_units is not None
        assert response.meta.billed_units.search_units == 1


def test_cohere_v1_ranks_and_returns_objects(server: Process) -> None:
    """rank_fields and return_documents are set."""
    with cohere.Client(api_key="any", base_url=server.rest) as client:
        response = client.rerank(
            model="default",
            query="capital of France",
            documents=OBJECTS,
            rank_fields=["title", "text"],
            return_documents=True,
        )
        assert [result.index for result in response.results] == [1, 0]
        assert response.results[0].document is not None
        assert response.results[0].document.text == "Capital of France"


async def test_cohere_async(server: Process) -> None:
    """AsyncClientV2 sends several requests at the same time."""
    async with cohere.AsyncClientV2(api_key="any", base_url=server.rest) as client:
        calls = (
            client.rerank(model="starter", query="capital of France", documents=["Rome", "Paris"]) for _ in range(8)
        )
        for response in await asyncio.gather(*calls):
            assert [result.index for result in response.results] == [1, 0]


def test_cohere_raises_its_own_errors(server: Process) -> None:
    """400 and 404 have the message of the server."""
    with cohere.ClientV2(api_key="any", base_url=server.rest) as client:
        with pytest.raises(cohere.BadRequestError, match="the maximum is 100"):
            client.rerank(model="starter", query="q", documents=["x"] * 101)
        with pytest.raises(cohere.NotFoundError, match="served: starter"):
            client.rerank(model="other", query="q", documents=["x"])


def test_hosted_model_names_select_the_served_model(server: Process) -> None:
    """It works with default settings."""
    with cohere.ClientV2(api_key="any", base_url=server.rest) as client:
        listed = ("rerank-v3.5", "Salesforce/Llama-Rank-V1", "jina-reranker-v3", "zerank-2", "zerank-1")
        for name in (*listed, "rerank-v99-pro", "voyage/rerank-99", "zeroentropy/zerank-99"):
            assert client.rerank(model=name, query="q", documents=["x"]).results[0].index == 0


@pytest.mark.parametrize("base", ["", "/v1"])
def test_together(server: Process, base: str) -> None:
    """Strings, and objects with return_documents."""
    with together.Together(api_key="any", base_url=server.rest + base) as client:
        response = client.rerank.create(
            model="starter", query=example.QUERY, documents=list(example.DOCUMENTS), top_n=2
        )
        assert response.results is not None
        assert next(result.index for result in response.results) == 2
        assert response.object == "rerank"
        assert response.usage is not None
        assert response.usage.prompt_tokens == response.usage.total_tokens > 0
        objects = client.rerank.create(
            model="starter",
            query="capital of France",
            documents=OBJECTS,  # type: ignore[arg-type]
            rank_fields=["title"],
            return_documents=True,
        )
        assert objects.results is not None
        assert [result.index for result in objects.results] == [1, 0]


def test_together_raises_its_own_errors(server: Process) -> None:
    """400 and 404 have the message of the server."""
    with together.Together(api_key="any", base_url=server.rest) as client:
        with pytest.raises(together.BadRequestError, match="must not be empty"):
            client.rerank.create(model="starter", query="", documents=["x"])
        with pytest.raises(together.NotFoundError, match="served: starter"):
            client.rerank.create(model="other", query="q", documents=["x"])


def test_limits_of_keys_are_the_sdks_own_errors(tmp_path: Path) -> None:
    """Over a limit, for another model, and with an expired key. SDKs retry after a 429, so retries are off."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(
        "- {name: slow, key: slow, requests_per_second: 0.001}\n"
        "- {name: other, key: other, models: [other]}\n"
        "- {name: old, key: old, expires: 2020-01-01}\n"
    )
    with started("--api-keys-file", str(keys)) as server:
        with cohere.ClientV2(api_key="slow", base_url=server.rest) as client:
            client.rerank(model="starter", query="q", documents=["x"])
            with pytest.raises(cohere.TooManyRequestsError, match="requests per second"):
                client.rerank(model="starter", query="q", documents=["x"], request_options={"max_retries": 0})
        with (
            together.Together(api_key="slow", base_url=server.rest, max_retries=0) as limited,
            pytest.raises(together.RateLimitError, match="requests per second"),
        ):
            limited.rerank.create(model="starter", query="q", documents=["x"])
        for key, errors in (
            ("other", (cohere.ForbiddenError, together.PermissionDeniedError)),
            ("old", (cohere.UnauthorizedError, together.AuthenticationError)),
        ):
            with cohere.ClientV2(api_key=key, base_url=server.rest) as client, pytest.raises(errors[0]):
                client.rerank(model="starter", query="q", documents=["x"])
            with together.Together(api_key=key, base_url=server.rest) as refused, pytest.raises(errors[1]):
                refused.rerank.create(model="starter", query="q", documents=["x"])


def test_plain_http_call(server: Process) -> None:
    """A request like curl's, without headers."""
    body = b'{"query": "capital of France", "documents": ["Rome", "Paris"]}'
    response = post(f"{server.rest}/v1/rerank", content=body).json()
    assert [result["index"] for result in response["results"]] == [1, 0]
