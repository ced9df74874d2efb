"""tei.v1 over a real port, asked with the stubs that tei-client made of TEI's own proto."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tei_client import GrpcClient
from tei_client.stubs import tei_pb2 as theirs
from tei_client.stubs import tei_pb2_grpc as their_grpc

import rerank_service
from rerank.tei import tei_pb2 as ours
from rerank_service.auth import Keys
from rerank_service.bundle import Bundle
from rerank_service.host import usable_cores
from rerank_service.reranker import RequestLimits
from rerank_service.template import Template
from support.running import Running, Served, running, served
from support.small import BOOM, NAN, write_small_model

TOO_LONG = "1 " * 40


@pytest.fixture
async def stub(edges: Served) -> AsyncIterator[Any]:
    """The reranker's stub."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        yield their_grpc.RerankStub(channel)


def ask(texts: Iterable[str], query: str = "0", **options: Any) -> Any:
    """A request."""
    return theirs.RerankRequest(query=query, texts=texts, **options)


def tell(text: str, query: str = "0", **options: Any) -> Any:
    """A message of a stream."""
    return theirs.RerankStreamRequest(query=query, text=text, **options)


def ranked(response: Any) -> list[tuple[int, float]]:
    """Indexes and scores."""
    return [(rank.index, rank.score) for rank in response.ranks]


async def test_texts_are_ranked(stub: Any) -> None:
    """All of them, the best first, equals as they were sent; texts only where they are asked for."""
    response = await stub.Rerank(ask(["1", "0", "2", "1"]))
    assert [rank.index for rank in response.ranks] == [2, 0, 3, 1]
    assert [rank.score for rank in response.ranks] == pytest.approx([1 / (1 + math.exp(-n)) for n in (2, 1, 1, 0)])
    assert not any(rank.HasField("text") for rank in response.ranks)
    response = await stub.Rerank(ask(["1", "", "2"], raw_scores=True, return_text=True))
    assert [(rank.index, rank.text, rank.score) for rank in response.ranks] == [(2, "2", 2), (0, "1", 1), (1, "", 0)]
    assert all(rank.HasField("text") for rank in response.ranks)
