"""Requests of rerank.v1: objects as text."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc import rerank_v1_requests
from rerank_service.api.grpc.rerank_v1_requests import MessageReader
from rerank_service.api.http.documents import JsonReader
from rerank_service.encoding.object_text import parse_object
from rerank_service.encoding.text_length import text_length
from rerank_service.long_work import MANY_ITEMS
from rerank_service.ranking.document import SentDocument

MAX_CHARS = 1_000_000
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
        MessageReader(pb.RerankRequest(), MAX_CHARS).read(SentDocument(message, 0), "documents[0]").text
        for message in (text, struct)
    )
    assert by_json == JsonReader(()).read(SentDocument(value, 0), "documents[0]").text
    assert by_struct == JsonReader(()).read(SentDocument(_sorted(value), 0), "documents[0]").text


def test_text_parts_have_the_same_text_in_every_form() -> None:
    """It is that of REST, so their score does not depend on the protocol. Their length is that of the text."""
    value = {"content": [{"type": "text", "text": "Paris " * 400}, {"type": "text", "text": "is in France."}]}
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    reader = MessageReader(pb.RerankRequest(), 1_000)
    text = "Paris " * 400 + "\nis in France."
    assert JsonReader().read(SentDocument(value, 0), "documents[0]").text == text
    for message in (pb.Document(json=json.dumps(value)), struct):
        assert reader.read(SentDocument(message, 0), "documents[0]").text == text
        assert reader.length(message) == text_length(text)


def test_length_counts_ranked_fields_only() -> None:
    """In both forms; a text that is no JSON counts as a whole, until it is rejected."""
    value = {"title": "short", "body": "x" * 8_000}
    text, struct = pb.Document(json=json.dumps(value)), pb.Document()
    json_format.ParseDict(value, struct.object)
    reader = MessageReader(pb.RerankRequest(rank_fields=["title"]), MAX_CHARS)
    whole = MessageReader(pb.RerankRequest(), MAX_CHARS)
    assert [reader.length(message).chars < 20 for message in (text, struct)] == [True, True]
    assert [whole.length(message).chars > 8_000 for message in (text, struct)] == [True, True]
    assert reader.length(pb.Document(json="broken")).chars == len("broken")
    assert reader.length(pb.Document()).chars == 0


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
    expected = JsonReader(rank_fields).length(value).chars
    reader = MessageReader(pb.RerankRequest(rank_fields=rank_fields), MAX_CHARS)
    text = reader.read(SentDocument(struct, 0), "documents[0]").text
    assert expected == pytest.approx(len(text), rel=0.2)
    for message in (
        pb.Document(json=json.dumps(value)),
        pb.Document(json=json.dumps(value, ensure_ascii=False)),
        struct,
    ):
        assert reader.length(message).chars == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("number", [2.0**64, -1e300])
def test_length_counts_large_numbers(number: float) -> None:
    """And all other values of their field."""
    struct = pb.Document()
    json_format.ParseDict({"a": {"big": number, "text": "東京" * 500}, "b": number}, struct.object)
    reader = MessageReader(pb.RerankRequest(), MAX_CHARS)
    text = reader.read(SentDocument(struct, 0), "documents[0]").text
    assert reader.length(struct).chars == pytest.approx(len(text), rel=0.05)


@pytest.mark.parametrize("number", [1e308, -1e308, 2**64, -(2**63) - 2049, 2**63, -(2**63)])
def test_large_numbers_have_the_text_of_json(number: float) -> None:
    """They are no integers of hundreds of digits: one takes 11 bytes in a message."""
    value = {"a": number, "list": [number]}
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    reader = MessageReader(pb.RerankRequest(), MAX_CHARS)
    texts = [
        reader.read(SentDocument(message, 0), "documents[0]").text
        for message in (struct, pb.Document(json=json.dumps(value)))
    ]
    assert texts[0] == texts[1]
    assert reader.length(struct).chars < 2 * 30


@pytest.mark.parametrize(
    ("body", "rank_fields", "parsed"),
    [
        ("x" * 900, [], 0),
        ("x" * 3_000, [], 1),
        ("東" * 900, [], 0),
        ("x" * 900, ["title"], 1),
        ("x" * 3_000, ["title"], 1),
        ("x" * 5_000, [], 0),
        ("x" * 5_000, ["title"], 1),
    ],
)
def test_json_is_parsed_for_its_length_at_most_once(
    monkeypatch: pytest.MonkeyPatch, body: str, rank_fields: list[str], parsed: int
) -> None:
    """Not at all if it is rejected anyway, or if all of it counts."""
    texts: list[str] = []

    def noting(text: str, *, field: str) -> dict[str, Any]:
        texts.append(text)
        return parse_object(text, field=field)

    monkeypatch.setattr(rerank_v1_requests, "parse_object", noting)
    message = pb.Document(json=json.dumps({"title": "short", "body": body}))
    reader = MessageReader(pb.RerankRequest(rank_fields=rank_fields), 1_000)
    with_limit = reader.length(message).chars <= 1_000
    assert len(texts) == parsed
    assert with_limit == (len(body) <= 900 or bool(rank_fields))


def test_document_at_the_limit_is_measured_exactly() -> None:
    """Braces, quotation marks and escapes of JSON do not count, so that REST and gRPC accept the same documents."""
    value = {"text": "line\n" * 200}
    message = pb.Document(json=json.dumps(value))
    assert len(message.json) > 1_000
    assert MessageReader(pb.RerankRequest(), 1_000).length(message) == JsonReader().length(value) == (1_000, False)


def test_wide_objects_are_many_items() -> None:
    """In both forms, also if they are nested, so that a thread looks at them. A text is one item."""
    value = {"nested": {f"k{number}": "" for number in range(1_000)}}
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    reader = MessageReader(pb.RerankRequest(), MAX_CHARS)
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
