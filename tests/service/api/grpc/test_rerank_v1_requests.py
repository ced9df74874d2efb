"""Requests of rerank.v1: objects as text."""

import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.rerank_v1_requests import MessageReader
from rerank_service.api.http.documents import JsonReader
from rerank_service.long_work import MANY_ITEMS
from rerank_service.ranking.document import SentDocument

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)


JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=6), JSON, max_size=5).filter(
        lambda value: any(part is not None for part in value.values())
    )
)
def test_object_has_the_same_text_in_every_form(value: dict[str, object]) -> None:
    """gRPC `json` and REST give equal texts. A Struct gives the text of the object with sorted keys, at all levels."""
    text = pb.Document(json=json.dumps(value))
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    by_json, by_struct = (
        MessageReader(pb.RerankRequest()).read(SentDocument(message, 0), "documents[0]").text
        for message in (text, struct)
    )
    assert by_json == JsonReader(()).read(SentDocument(value, 0), "documents[0]").text
    assert by_struct == JsonReader(()).read(SentDocument(_sorted(value), 0), "documents[0]").text


def test_length_counts_ranked_fields_only() -> None:
    """In both forms; a text that is no JSON counts as a whole, until it is rejected."""
    value = {"title": "short", "body": "x" * 8_000}
    text, struct = pb.Document(json=json.dumps(value)), pb.Document()
    json_format.ParseDict(value, struct.object)
    reader, whole = MessageReader(pb.RerankRequest(rank_fields=["title"])), MessageReader(pb.RerankRequest())
    assert [reader.chars(message) < 20 for message in (text, struct)] == [True, True]
    assert [whole.chars(message) > 8_000 for message in (text, struct)] == [True, True]
    assert reader.chars(pb.Document(json="broken")) == len("broken")
    assert reader.chars(pb.Document()) == 0


@pytest.mark.parametrize("rank_fields", [(), ("title", "body")])
@pytest.mark.parametrize(
    "value",
    [
        {"body": "東京都庁舎" * 100},
        {"title": "Москва", "body": "столица России " * 50},
        {"title": "東京", "body": {"parts": ["東京都庁舎" * 20, "展望室" * 20], "n": [1, 2.5, None, True]}},
    ],
)
def test_length_counts_characters(value: dict[str, object], rank_fields: tuple[str, ...]) -> None:
    """In all forms, also if JSON has escapes: it is about the length of the text that is scored."""
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    expected = JsonReader(rank_fields).chars(value)
    reader = MessageReader(pb.RerankRequest(rank_fields=rank_fields))
    text = reader.read(SentDocument(struct, 0), "documents[0]").text
    assert expected == pytest.approx(len(text), rel=0.2)
    for message in (
        pb.Document(json=json.dumps(value)),
        pb.Document(json=json.dumps(value, ensure_ascii=False)),
        struct,
    ):
        assert reader.chars(message) == expected


def test_wide_objects_are_many_items() -> None:
    """In both forms, also if they are nested, so that a thread looks at them. A text is one item."""
    value = {"nested": {f"k{number}": "" for number in range(1_000)}}
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    reader = MessageReader(pb.RerankRequest())
    assert reader.items(pb.Document(json=json.dumps(value))) > MANY_ITEMS
    assert reader.items(struct) > MANY_ITEMS
    assert reader.items(pb.Document(text="x" * 100_000)) == 1


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value
