"""pinecone: its inference client, blocking and asynchronous."""

from typing import Any, ClassVar

import pinecone
import pytest
from pinecone.errors import exceptions

from clients.cases import DOCUMENTS, QUERY, RETRIED, Case, RankRequest, RetryTests, expect, wait
from clients.harness import Harness
from clients.setups import client_setup

RAISES = {
    400: exceptions.ApiError,
    401: exceptions.UnauthorizedError,
    404: exceptions.NotFoundError,
    413: exceptions.PayloadTooLargeError,
    429: exceptions.RateLimitError,
    500: exceptions.ServiceError,
    503: exceptions.ServiceError,
}


@client_setup("pinecone", dialect="Pinecone", note="`pc.inference.rerank`; other services of Pinecone are not served")
def blocking(H: str, k: str, M: str) -> pinecone.Pinecone:
    return pinecone.Pinecone(api_key=k, host=H)


@client_setup("pinecone", dialect="Pinecone")
def asynchronous(H: str, k: str, M: str) -> pinecone.AsyncPinecone:
    return pinecone.AsyncPinecone(api_key=k, host=H)


def ranked(response: Any) -> list[tuple[int, float]]:
    assert response.usage.rerank_units == 1
    for result in response.data:
        assert result.document["text"] == DOCUMENTS[result.index]
    return [(result.index, result.score) for result in response.data]


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    return ranked(
        client.inference.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    )


def ask_async(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    return ranked(
        wait(
            client.inference.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
        )
    )


class TestPinecone(RetryTests):
    """Both clients. They reject an empty query themselves."""

    cases: ClassVar = [
        Case(
            way,
            asking,
            "/rerank",
            {status: error for status, error in RAISES.items() if status != 400},
            retries=RETRIED,
        )
        for way, asking in ((blocking, ask), (asynchronous, ask_async))
    ]

    def test_objects_and_parameters(self, harness: Harness) -> None:
        """Other keys come back; `truncate` is applied."""
        documents = [{"id": str(index), "summary": text} for index, text in enumerate(DOCUMENTS)]
        response = harness.open(blocking).inference.rerank(
            model="bge-reranker-v2-m3",
            query=QUERY,
            documents=documents,
            rank_fields=["summary"],
            parameters={"truncate": "END"},
        )
        expect((result.index, result.score) for result in response.data)
        assert [result.document["id"] for result in response.data] == [str(result.index) for result in response.data]
        assert harness.last.sent_headers["api-key"] == harness.key

    def test_documents_are_left_out(self, harness: Harness) -> None:
        """Then `document` is None."""
        response = harness.open(blocking).inference.rerank(
            model="starter", query=QUERY, documents=DOCUMENTS, return_documents=False
        )
        assert [result.document for result in response.data] == [None] * 3

    def test_error_has_the_message_of_the_server(self, harness: Harness) -> None:
        """Its code, too."""
        with pytest.raises(exceptions.ApiError, match=r"parameters\.truncate must be") as caught:
            harness.open(blocking).inference.rerank(
                model="starter", query=QUERY, documents=DOCUMENTS, parameters={"truncate": "MIDDLE"}
            )
        assert caught.type is exceptions.ApiError
        assert caught.value.status_code == 400
