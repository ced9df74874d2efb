"""Requests of rerank.v1: objects as text."""

import json

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.rerank_v1_requests import MessageReader
from rerank_service.api.http.documents import JsonReader
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
    assert reader.items(text) > 250 > whole.items(text)


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value
