"""Readers of all protocols tell dense texts from others, for the estimate of their tokens."""

import json
from typing import Any

import pytest
from google.protobuf import json_format

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2
from rerank_service.api.grpc.rerank_v1_requests import MessageReader
from rerank_service.api.grpc.tei_v1_stream import StreamReader
from rerank_service.api.http.dialects.bedrock import _SourceReader
from rerank_service.api.http.dialects.nvidia import _PassageReader
from rerank_service.api.http.documents import JsonReader
from rerank_service.api.http.pairs import PairReader
from rerank_service.api.ranking_observation import KeepingReader
from rerank_service.api.text_reader import TextReader
from rerank_service.ranking.document import Reader


def _source(kind: str, document: Any) -> dict[str, Any]:
    fields = {"TEXT": {"textDocument": {"text": document}}, "JSON": {"jsonDocument": document}}
    return {"type": "INLINE", "inlineDocumentSource": {"type": kind, **fields[kind]}}


def _struct(value: dict[str, Any]) -> rerank_pb2.Document:
    message = rerank_pb2.Document()
    json_format.ParseDict(value, message.object)
    return message


MESSAGES, TITLES = (
    MessageReader(rerank_pb2.RerankRequest(rank_fields=names), 1_000) for names in ([], ["title", "absent"])
)
STREAM = StreamReader(tei_pb2.RerankStreamRequest())


@pytest.mark.parametrize(
    ("text", "dense"), [("Tokyo", False), ("東京タワーの展望台からの眺め", True), ("Zoë sits in a café…", False)]
)
def test_reader_tells_dense_texts_from_others(text: str, dense: bool) -> None:
    """In strings, in fields of objects, nested, and escaped in JSON."""
    nested = {"n": 1, "parts": [{"text": text}]}
    documents: list[tuple[Reader, Any]] = [
        (TextReader(), text),
        (KeepingReader(TextReader(), []), text),
        (PairReader(), (None, text)),
        (JsonReader(), text),
        (JsonReader(), {"text": text}),
        (JsonReader(), nested),
        (JsonReader(["title"]), {"title": text, "body": "a"}),
        (_PassageReader(), {"text": text}),
        (_SourceReader(), _source("TEXT", text)),
        (_SourceReader(), _source("JSON", nested)),
        (MESSAGES, rerank_pb2.Document(text=text)),
        (MESSAGES, rerank_pb2.Document(json=json.dumps(nested))),
        (MESSAGES, _struct(nested)),
        (TITLES, _struct({"title": text, "body": "a"})),
        (STREAM, tei_pb2.RerankStreamRequest(text=text)),
    ]
    assert [reader.length(raw).is_dense for reader, raw in documents] == [dense] * len(documents)


@pytest.mark.parametrize(
    ("reader", "raw"),
    [
        (JsonReader(["title"]), {"title": "Tokyo", "body": "東京"}),
        (TITLES, rerank_pb2.Document(json='{"title": "Tokyo", "body": "東京"}')),
        (TITLES, _struct({"title": "Tokyo", "body": "東京"})),
        (TextReader(), 7),
        (JsonReader(), {"deep": 10**30}),
        (MESSAGES, rerank_pb2.Document()),
    ],
)
def test_other_values_do_not_count(reader: Reader, raw: Any) -> None:
    """Fields that are not ranked, numbers, and documents that are rejected later."""
    assert not reader.length(raw).is_dense
