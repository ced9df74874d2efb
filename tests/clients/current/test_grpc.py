"""gRPC stubs generated from our proto, as in another repository."""

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

from clients.cases import DOCUMENTS, MODEL, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup

PROTO = Path(__file__).parents[3] / "proto"


@client_setup("grpcio", dialect="rerank.v1")
def channel(H: str, k: str, M: str) -> grpc.Channel:
    return grpc.insecure_channel(H)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Generate the modules."""
    folder = tmp_path_factory.mktemp("stubs")
    google = Path(protoc.__file__).parent / "_proto"
    out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["", f"-I{PROTO}", f"-I{google}", *out, "rerank/v1/rerank.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(
            messages=importlib.import_module("rerank.v1.rerank_pb2"),
            services=importlib.import_module("rerank.v1.rerank_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(folder))


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


def test_a_long_call_survives_pings_every_10_seconds(harness: Harness, stubs: Any) -> None:
    """A server with gRPC's default policy closes the connection at the fifth ping. The call lasts 55 s."""
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    messages = stubs.messages

    def parts() -> Iterator[Any]:
        yield messages.RerankStreamRequest(header=messages.RerankHeader(request=messages.RerankRequest(query=QUERY)))
        time.sleep(55)
        documents = [messages.Document(text=text) for text in DOCUMENTS]
        yield messages.RerankStreamRequest(documents=messages.DocumentChunk(documents=documents))

    with grpc.insecure_channel(harness.grpc, options) as open_channel:
        metadata = [("authorization", f"Bearer {harness.key}")]
        stream = stubs.services.RerankStub(open_channel).RerankStream(parts(), metadata=metadata, timeout=110)
        responses = list(stream)
    expect([(result.index, result.relevance_score) for result in responses[-1].ranking.results])
