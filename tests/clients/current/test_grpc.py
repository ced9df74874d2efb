"""gRPC stubs generated from our proto, as in another repository."""

from concurrent.futures import Future
from typing import Any

import grpc
import pytest

from clients.cases import DOCUMENTS, MODEL, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup


@client_setup("grpcio", dialect="rerank.v1")
def channel(H: str, k: str, M: str) -> grpc.Channel:
    return grpc.insecure_channel(H)


def test_it_ranks(harness: Harness, stubs: Any) -> None:
    """Check order, top_n and usage, with the key as metadata."""
    with harness.at(channel, H=harness.grpc, k=harness.key) as open_channel:
        request = stubs.messages.RerankRequest(
            model=MODEL,
            query=QUERY,
            documents=[stubs.messages.Document(text=text) for text in DOCUMENTS],
            top_n=2,
        )
        metadata = [("authorization", f"Bearer {harness.key}")]
        response = stubs.services.RerankStub(open_channel).Rerank(request, metadata=metadata, timeout=60)
    expect([(result.index, result.relevance_score) for result in response.results], top_n=2)
    assert response.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("code", "model", "query", "key"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, MODEL, "", ""),
        (grpc.StatusCode.UNAUTHENTICATED, MODEL, QUERY, "wrong"),
        (grpc.StatusCode.NOT_FOUND, "no-such-model", QUERY, ""),
    ],
)
def test_errors_have_their_codes(
    harness: Harness, stubs: Any, code: grpc.StatusCode, model: str, query: str, key: str
) -> None:
    """The errors correspond to those of REST."""
    with harness.at(channel, H=harness.grpc, k=harness.key) as open_channel:
        request = stubs.messages.RerankRequest(
            model=model, query=query, documents=[stubs.messages.Document(text=text) for text in DOCUMENTS]
        )
        with pytest.raises(grpc.RpcError) as caught:
            stubs.services.RerankStub(open_channel).Rerank(
                request, metadata=[("authorization", f"Bearer {key or harness.key}")], timeout=60
            )
    assert caught.value.code() is code


def test_a_long_call_survives_pings_every_10_seconds(long_call: Future[list[Any]]) -> None:
    """A server with gRPC's default policy closes the connection at the fifth ping. The call lasts 55 s."""
    responses = long_call.result()
    expect([(result.index, result.relevance_score) for result in responses[-1].ranking.results])
