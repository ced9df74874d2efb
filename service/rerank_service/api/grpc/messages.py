"""rerank.v1 messages to the core's types, and back."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args

from google.protobuf import duration_pb2, struct_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank_service.encoding.object_text import object_text, parse_object
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.models.served_model import ModelInfo
from rerank_service.quantities import counted
from rerank_service.ranking.document import MAX_ID_CHARS, Document, SentDocument, Span
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong, WindowScore
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scores import ScoreType

RANKING_BYTES = 1_000_000
"""A streamed ranking is cut into messages of about this size; a stock client receives up to 4 MiB."""
_PARTIAL_SCORES = RANKING_BYTES // (MAX_ID_CHARS * 4 + 64)
"""Scores in a message: with ids as long as they may be, four bytes a character."""
_ENTRY_BYTES = 5
"""Tag and length of a result in its message, at most."""

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
_CUT_SIDES = {
    pb.CUT_SIDE_UNSPECIFIED: CutSide.RIGHT,
    pb.CUT_SIDE_RIGHT: CutSide.RIGHT,
    pb.CUT_SIDE_LEFT: CutSide.LEFT,
}
_WINDOW_SCORES = {
    pb.WINDOW_SCORE_UNSPECIFIED: WindowScore.BEST,
    pb.WINDOW_SCORE_BEST: WindowScore.BEST,
    pb.WINDOW_SCORE_BEST_TWO: WindowScore.BEST_TWO,
}

_Optional = Literal["top_n", "max_tokens_per_doc", "max_chunks_per_doc", "overlap_tokens", "min_score"]
_OPTIONAL: tuple[_Optional, ...] = get_args(_Optional)

Member = TypeVar("Member")


def request_from(message: pb.RerankRequest) -> RerankRequest:
    """What a message asks, without its documents.

    Raises:
        InvalidRequest: a field is wrong.
    """
    given = {name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)}
    return RerankRequest(
        query=message.query,
        model=message.model,
        return_documents=message.return_documents,
        score_type=_member(_SCORE_TYPES, message.score_type, "score_type"),
        priority=message.priority,
        instruction=message.instruction,
        too_long=_member(_TOO_LONG, message.too_long, "too_long"),
        cut_side=_member(_CUT_SIDES, message.cut_side, "cut_side"),
        window_score=_member(_WINDOW_SCORES, message.window_score, "window_score"),
        **given,
    )


def _member(members: Mapping[Any, Member], value: int, field: str) -> Member:
    if value not in members:
        raise InvalidRequest(f"{field} has no value {value}", field=field, reason="out_of_range")
    return members[value]


class MessageReader:
    """Reads Document messages."""

    def __init__(self, request: pb.RerankRequest) -> None:
        self._rank_fields = list(request.rank_fields)
        self._keep = request.return_documents

    def chars(self, raw: pb.Document) -> int:
        """Of a text or JSON all; of an object as many as it has bytes."""
        return len(raw.text) or len(raw.json) or raw.object.ByteSize()

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document of a message."""
        raw: pb.Document = sent.raw
        if len(raw.id) > MAX_ID_CHARS:
            raise TooLarge(
                f"{field}.id has {counted(len(raw.id), 'character')}; at most {MAX_ID_CHARS:,} are kept",
                field=f"{field}.id",
            )
        document_id = raw.id if raw.HasField("id") else None
        return Document(
            self._text(raw, field), original=self._copy(raw), id=document_id, size=raw.ByteSize() if self._keep else 0
        )

    def _copy(self, raw: pb.Document) -> pb.Document | None:
        """A copy to give back. The message itself would keep all that came with it in memory."""
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
    """A Struct's fields with sorted keys, and whole numbers as integers."""
    return {key: _value(struct.fields[key]) for key in sorted(struct.fields)}


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def response_from(ranking: Ranking, request_id: str) -> pb.RerankResponse:
    """The whole ranking in one message."""
    return pb.RerankResponse(
        id=request_id,
        model=ranking.model,
        results=map(result_from, ranking),
        usage=_usage(ranking),
        timing=_timing(ranking),
    )


def stream_responses_from(ranking: Ranking, request_id: str) -> Iterator[pb.RerankStreamResponse]:
    """The ranking in messages that a stock client can receive; the last one has usage and timing."""
    missing = ranking.missing
    opening = pb.RerankResponse(id=request_id, model=ranking.model, partial=missing is not None)
    unscored = (pb.IndexRange(start=one.start, end=one.stop) for one in missing.unscored) if missing else ()
    pieces: Iterator[pb.Result | pb.IndexRange] = itertools.chain(map(result_from, ranking), unscored)
    part, size = _copied(opening), 0
    for piece in pieces:
        piece_bytes = piece.ByteSize() + _ENTRY_BYTES
        if size and size + piece_bytes > RANKING_BYTES:
            yield pb.RerankStreamResponse(ranking=part)
            part, size = _copied(opening), 0
        if isinstance(piece, pb.Result):
            part.results.append(piece)
        else:
            part.unscored.append(piece)
        size += piece_bytes
    part.usage.CopyFrom(_usage(ranking))
    part.timing.CopyFrom(_timing(ranking))
    part.received = missing.received if missing else 0
    yield pb.RerankStreamResponse(ranking=part, last=True)


def _copied(response: pb.RerankResponse) -> pb.RerankResponse:
    copy = pb.RerankResponse()
    copy.CopyFrom(response)
    return copy


def partials_from(scored: Iterable[RankedDocument]) -> Iterator[pb.RerankStreamResponse]:
    """Scores ahead of the ranking, in messages that a stock client can receive whatever the ids."""
    rest = iter(scored)
    while part := list(itertools.islice(rest, _PARTIAL_SCORES)):
        yield _partial_from(part)


def _partial_from(scored: Iterable[RankedDocument]) -> pb.RerankStreamResponse:
    return pb.RerankStreamResponse(
        scores=pb.PartialScores(
            scores=[
                pb.PartialScore(
                    index=one.index,
                    id=one.id,
                    relevance_score=one.relevance_score,
                    logit=one.logit,
                    truncated=one.truncated,
                )
                for one in scored
            ]
        )
    )


def result_from(ranked: RankedDocument) -> pb.Result:
    """One result."""
    return pb.Result(
        index=ranked.index,
        id=ranked.id,
        relevance_score=ranked.relevance_score,
        logit=ranked.logit,
        truncated=ranked.truncated,
        document=ranked.document,
        windows=ranked.windows,
        best_window=_span(ranked.best_window),
    )


def _span(span: Span | None) -> pb.Span | None:
    return None if span is None else pb.Span(start=span[0], end=span[1])


def _usage(ranking: Ranking) -> pb.Usage:
    usage = ranking.usage
    return pb.Usage(
        query_tokens=usage.query_tokens,
        document_tokens=usage.document_tokens,
        padded_tokens=usage.padded_tokens,
        pairs=usage.pairs,
        prompt_tokens=usage.prompt_tokens,
        shared_pairs=usage.shared_pairs,
        windows=ranking.windows,
    )


def _timing(ranking: Ranking) -> pb.Timing:
    timing = ranking.timing
    return pb.Timing(
        queue=_duration(timing.queue),
        tokenize=_duration(timing.tokenize),
        inference=_duration(timing.inference),
        total=_duration(timing.total),
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def model_from(info: ModelInfo, *, max_documents: int, max_stream_documents: int, max_message_bytes: int) -> pb.Model:
    """A model and its limits."""
    return pb.Model(
        name=info.name,
        aliases=info.aliases,
        source=info.source,
        revision=info.revision,
        digest=info.digest,
        precision=info.precision,
        provider=info.provider,
        choice=info.choice,
        calibration=info.calibration,
        verdict=info.verdict,
        max_tokens=info.max_tokens,
        max_documents=max_documents,
        max_stream_documents=max_stream_documents,
        max_message_bytes=max_message_bytes,
        ready=True,
    )
