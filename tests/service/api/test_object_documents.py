"""Object documents over both edges: which fields are scored, and what is wrong with one that has none."""

import json
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from rerank.v1 import rerank_pb2 as pb
from support.running import Served


def _messages(value: dict[str, Any]) -> list[pb.Document]:
    """An object in the two forms that gRPC has for it."""
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
async def test_the_fields_that_are_scored(
    edges: Served, value: dict[str, Any], rank_fields: list[str], logit: float
) -> None:
    """Missing, empty and null ones, and such as are no strings: the same over JSON, and in both forms over gRPC."""
    body = {"query": "0", "documents": [value], "rank_fields": rank_fields, "raw_scores": True}
    answer = (await edges.http.post("/v1/rerank", json=body)).json()
    response = await edges.client.rerank("0", _messages(value), rank_fields=rank_fields)
    assert [one["relevance_score"] for one in answer["results"]] == [logit]
    assert [one.logit for one in response.results] == [logit, logit]


@pytest.mark.parametrize(
    ("value", "rank_fields"),
    [({}, []), ({"text": None}, []), ({"text": "1"}, ["missing"]), ({"text": "1", "title": None}, ["title"])],
)
async def test_an_object_without_a_field_to_score_is_named(
    edges: Served, value: dict[str, Any], rank_fields: list[str]
) -> None:
    """By its place, over both edges."""
    body = {"query": "0", "documents": ["1", value], "rank_fields": rank_fields}
    answer = await edges.http.post("/v1/rerank", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "documents[1]")
    for message in _messages(value):
        with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\]") as caught:
            await edges.client.rerank("0", ["1", message], rank_fields=rank_fields)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_rows_of_a_table_are_documents(edges: Served) -> None:
    """A list of objects; each comes back whole, whatever was ranked of it."""
    rows = [{"city": "1", "people": 3, "at": {"x": 1}}, {"city": "9", "people": 1, "at": None}]
    body = {"query": "0", "documents": rows, "rank_fields": ["people"], "return_documents": True}
    answer = (await edges.http.post("/v1/rerank", json=body)).json()
    assert [one["index"] for one in answer["results"]] == [0, 1]
    assert [{**one["document"], "text": None} for one in answer["results"]] == [{**row, "text": None} for row in rows]
    sent = [pb.Document(json=json.dumps(row)) for row in rows]
    response = await edges.client.rerank("0", sent, rank_fields=["people"], return_documents=True)
    assert [one.document for one in response.results] == sent
