"""Responses of rerank.v1 from the core's types: rankings, partial scores and models."""

import itertools
from collections.abc import Iterable, Iterator

from google.protobuf import duration_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.document import MAX_ID_CHARS, Span
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scores import ScoreType

RANKING_BYTES = 1_000_000
"""Approximate maximum size of one message of a streamed ranking. gRPC clients receive up to 4 MiB by default."""
_PARTIAL_SCORES = RANKING_BYTES // (MAX_ID_CHARS * 4 + 64)
"""Maximum number of scores in one message. Each may have the longest id, with four bytes per character."""
_ENTRY_BYTES = 5
"""Maximum size of the tag and the length of a result in its message."""


_SCORE_TYPES = {
    ScoreType.RAW: pb.SCORE_TYPE_RAW,
    ScoreType.SIGMOID: pb.SCORE_TYPE_SIGMOID,
    ScoreType.CALIBRATED: pb.SCORE_TYPE_CALIBRATED,
}
_STATES = {state: pb.ModelState.Value(f"MODEL_STATE_{state.name}") for state in ModelState}


def response_from(ranking: Ranking, request_id: str) -> pb.RerankResponse:
    """Return the ranking as one message."""
    return pb.RerankResponse(
        id=request_id,
        model=ranking.model,
        results=map(_result, ranking),
        usage=_usage(ranking),
        timing=_timing(ranking),
        query_truncated=ranking.query_truncated,
        score_type=_SCORE_TYPES[ranking.score_type],
        model_version=_version(ranking),
    )


def stream_responses_from(ranking: Ranking, request_id: str) -> Iterator[pb.RerankStreamResponse]:
    """Yield the ranking in messages of about 1 MB. The last one has `usage`, `timing` and `received`."""
    missing = ranking.missing
    opening = pb.RerankResponse(
        id=request_id,
        model=ranking.model,
        partial=missing is not None,
        query_truncated=ranking.query_truncated,
        score_type=_SCORE_TYPES[ranking.score_type],
        model_version=_version(ranking),
    )
    unscored = (pb.IndexRange(start=run.start, end=run.stop) for run in missing.unscored) if missing else ()
    entries: Iterator[pb.Result | pb.IndexRange] = itertools.chain(map(_result, ranking), unscored)
    part, size = _copied(opening), 0
    for entry in entries:
        entry_bytes = entry.ByteSize() + _ENTRY_BYTES
        if size and size + entry_bytes > RANKING_BYTES:
            yield pb.RerankStreamResponse(ranking=part)
            part, size = _copied(opening), 0
        if isinstance(entry, pb.Result):
            part.results.append(entry)
        else:
            part.unscored.append(entry)
        size += entry_bytes
    part.usage.CopyFrom(_usage(ranking))
    part.timing.CopyFrom(_timing(ranking))
    part.received = missing.received if missing else 0
    yield pb.RerankStreamResponse(ranking=part, last=True)


def _copied(response: pb.RerankResponse) -> pb.RerankResponse:
    copy = pb.RerankResponse()
    copy.CopyFrom(response)
    return copy


def partials_from(scored: Iterable[RankedDocument]) -> Iterator[pb.RerankStreamResponse]:
    """Yield the scores that are sent before the ranking, in messages of at most 1 MB, however long the ids are."""
    remaining = iter(scored)
    while part := list(itertools.islice(remaining, _PARTIAL_SCORES)):
        scores = [
            pb.PartialScore(
                index=document.index,
                id=document.id,
                relevance_score=document.relevance_score,
                logit=document.logit,
                truncated=document.truncated,
            )
            for document in part
        ]
        yield pb.RerankStreamResponse(scores=pb.PartialScores(scores=scores))


def _result(ranked: RankedDocument) -> pb.Result:
    """Return a result. Fields that are rarely set are left out of the constructor, which costs time for each name."""
    result = pb.Result(
        index=ranked.index, relevance_score=ranked.relevance_score, logit=ranked.logit, windows=ranked.windows
    )
    if ranked.truncated:
        result.truncated = True
    if ranked.id is not None:
        result.id = ranked.id
    if ranked.document is not None:
        result.document.CopyFrom(ranked.document)
    if ranked.best_window is not None:
        result.best_window.CopyFrom(_span(ranked.best_window))
    if ranked.highlights:
        result.highlights.extend(
            pb.Highlight(span=_span(each.span), relevance_score=each.relevance_score, logit=each.logit)
            for each in ranked.highlights
        )
    return result


def _span(span: Span) -> pb.Span:
    return pb.Span(start=span[0], end=span[1])


def _version(ranking: Ranking) -> pb.ModelVersion:
    version = ranking.version
    return pb.ModelVersion(digest=version.digest, provider=version.provider, precision=version.precision)


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


def model_from(info: ModelInfo, limits: RequestLimits, *, max_message_bytes: int) -> pb.Model:
    """Return a model with the limits of the server."""
    return pb.Model(
        name=info.name,
        aliases=info.aliases,
        source=info.source,
        revision=info.revision,
        digest=info.digest,
        precision=info.precision,
        provider=info.provider,
        choice=info.explanation,
        calibration=info.calibration,
        verdict=info.verdict,
        max_tokens=info.max_tokens,
        max_documents=limits.max_documents,
        max_stream_documents=limits.max_stream_documents,
        max_message_bytes=max_message_bytes,
        document_tokens=limits.document_tokens,
        window_tokens=limits.window_tokens or 0,
        max_query_chars=limits.max_query_chars,
        max_document_chars=limits.max_document_chars,
        ready=info.ready,
        state=_STATES[info.state],
        memory_bytes=info.memory_bytes,
    )
