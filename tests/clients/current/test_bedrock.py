"""boto3: Bedrock's Rerank and InvokeModel. The key is the session token of AWS, which SDKs send as it is."""

import json
import os
from typing import Any, ClassVar

import boto3
import pytest
from botocore.exceptions import ClientError

from clients.cases import DOCUMENTS, QUERY, REFUSED, Case, RankRequest, ReportedError, RetryTests, expect
from clients.harness import Harness
from clients.setups import client_setup

NOTE = "the API key is the session token; the access key and the secret key may be any text"
CODES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
FAILED = {"Rerank": "DependencyFailedException", "InvokeModel": "ModelErrorException"}
"""Code of a model that failed, with status 424, by the operation."""
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"


def reported(error: ClientError) -> ReportedError:
    """Return the exception for an error, whose code and request id must be set."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert error.response["Error"]["Code"] == (FAILED[error.operation_name] if status == 424 else CODES[status])
    assert error.response["Error"]["Message"]
    assert error.response["ResponseMetadata"]["RequestId"]
    return ReportedError(str(error))


@client_setup("boto3, bedrock-agent-runtime", package="boto3", dialect="Bedrock", note=NOTE)
def agent_runtime(H: str, k: str, M: str) -> Any:
    return boto3.Session("any", "any", aws_session_token=k).client("bedrock-agent-runtime", endpoint_url=H)


@client_setup("boto3, bedrock-runtime", package="boto3", dialect="Bedrock", note=NOTE)
def runtime(H: str, k: str, M: str) -> Any:
    return boto3.Session("any", "any", aws_session_token=k).client("bedrock-runtime", endpoint_url=H)


def rerank_arguments(request: RankRequest, sources: list[dict[str, Any]]) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "modelConfiguration": {"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{request.model}"}
    }
    if request.top_n:
        configuration["numberOfResults"] = request.top_n
    return {
        "queries": [{"type": "TEXT", "textQuery": {"text": request.query}}],
        "sources": [{"type": "INLINE", "inlineDocumentSource": source} for source in sources],
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": configuration,
        },
    }


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    sources = [{"type": "TEXT", "textDocument": {"text": text}} for text in DOCUMENTS]
    try:
        response = client.rerank(**rerank_arguments(request, sources))
    except ClientError as error:
        raise reported(error) from error
    assert "nextToken" not in response
    return [(result["index"], result["relevanceScore"]) for result in response["results"]]


def ask_runtime(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    body = {"query": request.query, "documents": DOCUMENTS, "top_n": request.top_n, "api_version": 2}
    try:
        response = client.invoke_model(modelId=request.model, body=json.dumps(body))
    except ClientError as error:
        raise reported(error) from error
    assert response["contentType"] == "application/json"
    results = json.loads(response["body"].read())["results"]
    return [(result["index"], result["relevance_score"]) for result in results]


class TestBedrock(RetryTests):
    """Both clients. boto3 validates that a query is not empty before it sends a request of Rerank."""

    cases: ClassVar = [
        Case(
            agent_runtime,
            ask,
            "/rerank",
            {status: ReportedError for status in (*CODES, 424) if status != 400},
            retries=REFUSED,
            failed=424,
        ),
        Case(
            runtime,
            ask_runtime,
            "/model/starter/invoke",
            dict.fromkeys((*CODES, 424), ReportedError),
            retries=REFUSED,
            failed=424,
        ),
    ]

    def test_json_documents_and_pages(self, harness: Harness) -> None:
        """A paginator gets all results in one page."""
        sources = [{"type": "JSON", "jsonDocument": {"title": text, "pages": [1, 2]}} for text in DOCUMENTS]
        paginator = harness.open(agent_runtime).get_paginator("rerank")
        pages = list(paginator.paginate(**rerank_arguments(RankRequest(), sources)))
        assert len(pages) == 1
        expect((result["index"], result["relevanceScore"]) for result in pages[0]["results"])

    def test_endpoint_of_the_environment(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        """AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME and AWS_SESSION_TOKEN, without a change of the code."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", harness.recorder.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        monkeypatch.setenv("AWS_SESSION_TOKEN", harness.key)
        expect(ask(boto3.Session().client("bedrock-agent-runtime"), RankRequest()))
        assert harness.last.sent_headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=any/")

    def test_arn_in_the_path(self, harness: Harness) -> None:
        """boto3 encodes its colons and its slash."""
        client = harness.open(runtime)
        arn = "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"
        expect(ask_runtime(client, RankRequest(model=arn)))
        assert (
            harness.last.path
            == "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fcohere.rerank-v3-5%3A0/invoke"
        )

    def test_keyless_server_ignores_the_signature(self, harness: Harness) -> None:
        """Without API keys, any credentials are accepted."""
        harness.recorder.next("open")
        expect(ask(harness.open(agent_runtime, k="wrong"), RankRequest()))

    def test_modelled_exceptions(self, harness: Harness) -> None:
        """Callers catch the classes of the client."""
        client = harness.open(agent_runtime)
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="served: starter"):
            client.rerank(
                **rerank_arguments(RankRequest(model="no-such"), [{"type": "TEXT", "textDocument": {"text": QUERY}}])
            )
        assert [call.status for call in harness.calls] == [404]
