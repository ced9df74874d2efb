"""Wrong arguments of the clients: rejected before a call, with the same message by both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rerank.client import AsyncRerankClient, RerankClient
from rerank.v1 import rerank_pb2 as pb
from support.both_clients import Method
from support.running import Served


@pytest.mark.parametrize(
    ("document", "error", "words"),
    [
        (5, TypeError, r"documents\[1\] must be a str or a Document, not int"),
        ({"text": "1"}, TypeError, r"documents\[1\] must be .* not dict: for an object, pass Document\(json="),
        (None, TypeError, "must be a str or a Document, not NoneType"),
        (b"1", TypeError, "must be a str or a Document, not bytes"),
    ],
    ids=["number", "object", "none", "bytes"],
)
async def test_documents_of_a_wrong_type_are_rejected_by_the_client(
    edges: Served, methods: tuple[Method, Method], document: object, error: type[Exception], words: str
) -> None:
    """With the same message in every method."""
    for method in methods:
        with pytest.raises(error, match=words):
            await method("0", ["1", document])

    async def documents() -> AsyncIterator[Any]:
        yield "1"
        yield document

    with pytest.raises(error, match=words):
        await edges.client.rerank_stream("0", documents())
    while not edges.core.idle():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("query", "options", "error", "words"),
    [
        (5, {}, TypeError, "query must be a str, not int"),
        ("0", {"top_k": 1}, ValueError, "top_k is not an option: did you mean top_n"),
        ("0", {"cutoff": 1}, ValueError, "cutoff is not an option: rerank.proto lists"),
        ("0", {"top_n": 2**40}, ValueError, "top_n is 1099511627776"),
        ("0", {"top_n": True}, TypeError, "top_n is True"),
        ("0", {"window_score": "max"}, ValueError, "window_score is 'max'"),
        ("0", {"rank_fields": "title"}, TypeError, "rank_fields must be a list of names, not one str"),
        ("0", {"rank_fields": iter(["title"])}, TypeError, "rank_fields must be a list of names, not list_iterator"),
        ("0", {"rank_fields": (name for name in ("title",))}, TypeError, "list of names, not generator"),
        ("0", {"top_n": "1"}, TypeError, "top_n is '1': .*integer"),
    ],
    ids=["number", "unknown", "unlike", "range", "bool", "enum", "letters", "iterator", "generator", "type"],
)
async def test_wrong_queries_and_options_are_rejected_by_the_client(
    methods: tuple[Method, Method], query: object, options: dict[str, object], error: type[Exception], words: str
) -> None:
    """Before the client starts a call."""
    for method in methods:
        with pytest.raises(error, match=words):
            await method(query, ["1"], **options)


@pytest.mark.parametrize("single", ["a text", b"bytes", pb.Document(text="1")])
async def test_a_single_document_is_rejected(single: Any) -> None:
    """A string is iterable, and each letter would be ranked as a document."""
    with RerankClient("127.0.0.1:9") as client:
        for rank in (client.rerank, client.rerank_stream):
            with pytest.raises(TypeError, match="several documents"):
                rank("0", single)
    async with AsyncRerankClient("127.0.0.1:9") as other:
        for rank_async in (other.rerank, other.rerank_stream):
            with pytest.raises(TypeError, match="several documents"):
                await rank_async("0", single)


@pytest.mark.parametrize("documents", [None, 5, {"a": "1", "b": "2"}], ids=["none", "number", "dict"])
async def test_an_object_that_is_not_a_collection_of_documents_is_rejected(documents: Any) -> None:
    """Before a call. For a dict, the keys would be ranked."""
    with RerankClient("127.0.0.1:9") as client:
        for rank in (client.rerank, client.rerank_stream, client.scores):
            with pytest.raises(TypeError, match="documents must be several documents, not "):
                rank("0", documents)
    async with AsyncRerankClient("127.0.0.1:9") as other:
        for rank_async in (other.rerank, other.rerank_stream):
            with pytest.raises(TypeError, match="documents must be several documents, not "):
                await rank_async("0", documents)


async def test_asynchronous_documents_need_an_asynchronous_stream() -> None:
    """Other methods name the right one."""

    async def documents() -> AsyncIterator[str]:
        yield "1"

    with RerankClient("127.0.0.1:9") as client:
        for rank in (client.rerank, client.rerank_stream, client.scores):
            with pytest.raises(TypeError, match="rerank_stream or scores of AsyncRerankClient"):
                rank("0", documents())  # type: ignore[arg-type]
    async with AsyncRerankClient("127.0.0.1:9") as other:
        with pytest.raises(TypeError, match="rerank_stream or scores of AsyncRerankClient"):
            await other.rerank("0", documents())  # type: ignore[arg-type]


async def test_a_coroutine_function_as_on_scores_is_rejected() -> None:
    """Nobody would await it."""

    async def on_scores(scores: pb.PartialScores) -> None:
        raise AssertionError(scores)

    async with AsyncRerankClient("127.0.0.1:9") as client:
        with pytest.raises(TypeError, match="on_scores is a coroutine function"):
            await client.rerank_stream("0", ["1"], on_scores=on_scores)  # type: ignore[arg-type]
