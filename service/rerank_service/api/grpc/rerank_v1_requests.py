"""Requests of rerank.v1 as the core's types: RerankRequest and Document messages."""

from typing import Any, Literal, get_args

from google.protobuf import struct_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.enums import enum_member
from rerank_service.encoding.object_text import (
    check_rank_fields,
    object_length,
    object_text,
    parse_object,
)
from rerank_service.encoding.text_length import json_length, text_length
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.document import MAX_ID_CHARS, Document, Reader, SentDocument, TextLength
from rerank_service.ranking.request import CutSide, QueryTooLong, RerankRequest, TooLong, WindowScore
from rerank_service.ranking.scores import ScoreType

_SCORE_TYPES = {
    pb.SCORE_TYPE_UNSPECIFIED: ScoreType.PROBABILITY,
    pb.SCORE_TYPE_PROBABILITY: ScoreType.PROBABILITY,
    pb.SCORE_TYPE_RAW: ScoreType.RAW,
    pb.SCORE_TYPE_SIGMOID: ScoreType.SIGMOID,
    pb.SCORE_TYPE_CALIBRATED: ScoreType.CALIBRATED,
}
_TOO_LONG = {
    pb.TOO_LONG_UNSPECIFIED: TooLong.WINDOWS,
    pb.TOO_LONG_WINDOWS: TooLong.WINDOWS,
    pb.TOO_LONG_WHOLE: TooLong.WHOLE,
    pb.TOO_LONG_CUT: TooLong.CUT,
    pb.TOO_LONG_REFUSE: TooLong.REFUSE,
}
_QUERY_TOO_LONG = {
    pb.QUERY_TOO_LONG_UNSPECIFIED: None,
    pb.QUERY_TOO_LONG_CUT: QueryTooLong.CUT,
    pb.QUERY_TOO_LONG_REFUSE: QueryTooLong.REFUSE,
}
_CUT_SIDES = {
    pb.CUT_SIDE_UNSPECIFIED: CutSide.RIGHT,
    pb.CUT_SIDE_RIGHT: CutSide.RIGHT,
    pb.CUT_SIDE_LEFT: CutSide.LEFT,
}
_PARSED_DOCUMENTS = 4
"""Maximum length of a JSON text that is parsed if all its fields are ranked, as a multiple of the maximum length of a
document: braces, white space and escapes do not count for that."""
_FIELD_CHARS = 20
"""About the length of a field in a JSON text or a Struct."""
_INTEGERS = (-(2.0**63), 2.0**64)
"""Whole numbers of a Struct from the first to below the second are integers. The others stay doubles, as in JSON: 1e308
would be an integer of 309 digits."""
_WINDOW_SCORES = {
    pb.WINDOW_SCORE_UNSPECIFIED: WindowScore.BEST,
    pb.WINDOW_SCORE_BEST: WindowScore.BEST,
    pb.WINDOW_SCORE_BEST_TWO: WindowScore.BEST_TWO,
}

_Optional = Literal[
    "top_n", "max_tokens_per_doc", "max_chunks_per_doc", "overlap_tokens", "min_score", "max_query_tokens", "highlights"
]
_OPTIONAL: tuple[_Optional, ...] = get_args(_Optional)


def request_from(message: pb.RerankRequest) -> RerankRequest:
    """Return the request of a message, without its documents.

    Raises:
        InvalidRequest: a field is invalid. The error names the field.
    """
    optional = {name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)}
    return RerankRequest(
        query=message.query,
        model=message.model,
        return_documents=message.return_documents,
        score_type=enum_member(message, "score_type", _SCORE_TYPES),
        priority=message.priority,
        instruction=message.instruction,
        too_long=enum_member(message, "too_long", _TOO_LONG),
        cut_side=enum_member(message, "cut_side", _CUT_SIDES),
        query_too_long=enum_member(message, "query_too_long", _QUERY_TOO_LONG),
        window_score=enum_member(message, "window_score", _WINDOW_SCORES),
        **optional,
    )


class MessageReader(Reader):
    """Reads Document messages."""

    def __init__(self, request: pb.RerankRequest, max_chars: int) -> None:
        """Read the documents of a request. `max_chars` is the maximum length of a document, in characters.

        Raises:
            InvalidRequest: it has too many `rank_fields`.
        """
        check_rank_fields(request.rank_fields)
        self._rank_fields = list(dict.fromkeys(request.rank_fields))
        self._keep = request.return_documents
        self._max_chars = max_chars

    def length(self, raw: pb.Document) -> TextLength:
        """Return about the length of the text that is scored. Values of an object that are not strings count as
        JSON."""
        if text := raw.text:
            return text_length(text)
        if text := raw.json:
            return self._json_length(text)
        fields = raw.object.fields
        ranked = {name: _value(fields[name]) for name in self._rank_fields or fields if name in fields}
        return object_length(ranked, self._rank_fields)

    def _json_length(self, text: str) -> TextLength:
        """Return about the length of the ranked fields in a JSON text.

        Parsing blocks the event loop. A text whose fields are all ranked is not parsed if it is within the limit, or so
        long that it is rejected.
        """
        length = json_length(text)
        is_clear = length.chars <= self._max_chars or length.chars > _PARSED_DOCUMENTS * self._max_chars
        if is_clear and not self._rank_fields:
            return length
        try:
            return object_length(parse_object(text, field="json"), self._rank_fields)
        except InvalidRequest:  # `read` rejects it
            return length

    def items(self, raw: pb.Document) -> int:
        """Return 1 for a text, and about the number of fields that are read for an object."""
        if raw.text:
            return 1
        return 1 + len(self._rank_fields) + (len(raw.json) + raw.object.ByteSize()) // _FIELD_CHARS

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document of a message.

        Raises:
            InvalidRequest: the message has no content, or its object has no text. The error names `field`.
            TooLarge: the id has more than 1,024 characters.
        """
        raw: pb.Document = sent.raw
        if len(raw.id) > MAX_ID_CHARS:
            raise TooLarge(
                f"{field}.id has {counted(len(raw.id), 'character')}; at most {MAX_ID_CHARS:,} are allowed: "
                "send a shorter id",
                field=f"{field}.id",
            )
        document_id = raw.id if raw.HasField("id") else None
        return Document(
            self._text(raw, field), original=self._copy(raw), id=document_id, size=raw.ByteSize() if self._keep else 0
        )

    def _copy(self, raw: pb.Document) -> pb.Document | None:
        """Copy the message for the response. The message itself would keep its whole request in memory."""
        if not self._keep:
            return None
        copy = pb.Document()
        copy.CopyFrom(raw)
        return copy

    def _text(self, raw: pb.Document, field: str) -> str:
        match raw.WhichOneof("content"):
            case "text":
                return raw.text
            case "object":
                return object_text(_struct(raw.object), self._rank_fields, field=field)
            case "json":
                return object_text(parse_object(raw.json, field=field), self._rank_fields, field=field)
            case _:
                raise InvalidRequest(
                    f"{field} has no content: set text, object or json", field=field, reason="empty_document"
                )


def _struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the fields of a Struct, sorted by key. Whole numbers become integers, except huge ones: a Struct
    has doubles only."""
    return {key: _value(struct.fields[key]) for key in sorted(struct.fields)}


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and _INTEGERS[0] <= number < _INTEGERS[1] else number
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)
