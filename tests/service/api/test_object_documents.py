"""Object documents over gRPC and REST: the fields that are scored, and objects without any."""

import json
import threading
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.http.documents import JsonReader
from rerank_service.ranking.document import TextLength
from support.running import Served


def _messages(value: dict[str, Any]) -> list[pb.Document]:
    """Return the two messages that gRPC has for an object: JSON and Struct."""
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    return [pb.Document(json=json.dumps(value)), struct]


@pytest.mark.parametrize(
    ("value", "rank_fields", "logit"),
    [
        ({"text": "1", "title": "2"}, [], 3),
        ({"text": "1", "title": "2"}, ["title"], 2),
        ({"text": "1", "title": "2"}, ["title", "text"], 3),
        ({"text": "1"}, ["text", "missing"], 1),
        ({"text": "1", "title": None}, ["title", "text"], 1),
        ({"text": ""}, [], 0),
        ({"text": "", "title": "2"}, ["text"], 0),
        ({"text": 5}, [], 5),
        ({"text": 5, "ok": True}, ["text", "ok"], 5),
        ({"text": [3, 4]}, [], 7),
        ({"text": {"deep": {"er": 6}}, "n": 1}, [], 7),
        ({"rows": [{"a": 1, "b": 2}, {"a": 3, "b": None}]}, [], 6),
    ],
)
async def test_selected_fields_are_scored(
    edges: Served, value: dict[str, Any], rank_fields: list[str], logit: float
) -> None:
    """Fields may be missing, empty, null, numbers or nested. JSON and both messages of gRPC give the same score."""
    body = {"query": "0", "documents": [value], "rank_fields": rank_fields, "raw_scores": True}
    content = (await edges.http.post("/v1/rerank", json=body)).json()
    response = await edges.client.rerank("0", _messages(value), rank_fields=rank_fields)
    assert [result["relevance_score"] for result in content["results"]] == [logit]
    assert [result.logit for result in response.results] == [logit, logit]


@pytest.mark.parametrize(
    ("value", "rank_fields"),
    [({}, []), ({"text": None}, []), ({"text": "1"}, ["missing"]), ({"text": "1", "title": None}, ["title"])],
)
async def test_object_without_a_scored_field_is_named(
    edges: Served, value: dict[str, Any], rank_fields: list[str]
) -> None:
    """The error has the index of the document, over gRPC and REST."""
    body = {"query": "0", "documents": ["1", value], "rank_fields": rank_fields}
    content = await edges.http.post("/v1/rerank", json=body)
    assert (content.status_code, content.json()["error"]["param"]) == (400, "documents[1]")
    for message in _messages(value):
        with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\]") as caught:
            await edges.client.rerank("0", ["1", message], rank_fields=rank_fields)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_whole_object_is_returned(edges: Served) -> None:
    """`rank_fields` selects the fields that are scored, not the fields that are returned."""
    rows = [{"city": "1", "people": 3, "at": {"x": 1}}, {"city": "9", "people": 1, "at": None}]
    body = {"query": "0", "documents": rows, "rank_fields": ["people"], "return_documents": True}
    content = (await edges.http.post("/v1/rerank", json=body)).json()
    assert [result["index"] for result in content["results"]] == [0, 1]
    assert [{**result["document"], "text": None} for result in content["results"]] == [
        {**row, "text": None} for row in rows
    ]
    sent = [pb.Document(json=json.dumps(row)) for row in rows]
    response = await edges.client.rerank("0", sent, rank_fields=["people"], return_documents=True)
    assert [result.document for result in response.results] == sent


async def test_unranked_fields_count_for_no_limit(edges: Served) -> None:
    """A document may have at most 1,000,000 characters."""
    value = {"title": "1", "body": "x" * 1_000_001}
    body = {"query": "0", "documents": [value], "rank_fields": ["title"], "raw_scores": True}
    assert (await edges.http.post("/v1/rerank", json=body)).json()["results"][0]["relevance_score"] == 1


async def test_wide_object_is_measured_in_a_thread(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object may have a million fields, each of which is looked at, nested ones and long strings in them, too."""
    threads = list[int]()

    def length(*_: object) -> TextLength:
        threads.append(threading.get_ident())
        return TextLength(1)

    monkeypatch.setattr(JsonReader, "length", length)
    wide = {f"k{number}": "1" for number in range(1_000)}
    for value in (wide, {"nested": {"deep": [wide]}}, {"nested": ["1" * 300_000]}, {"text": "1" * 300_000}):
        await edges.http.post("/v1/rerank", json={"query": "0", "documents": [value]})
    assert [thread == threading.get_ident() for thread in threads] == [False, False, False, True]


async def test_repeated_rank_fields_count_once(edges: Served) -> None:
    """The text that is scored has each field once, too."""
    value = {"text": "1 " * 300_000}
    body = {"query": "0", "documents": [value], "rank_fields": ["text"] * 1000}
    assert JsonReader(["text"] * 1000).length(value).chars == 600_000
    assert JsonReader(["text", "absent"]).items({}) == 2
    assert (await edges.http.post("/v1/rerank", json=body)).status_code == 200
