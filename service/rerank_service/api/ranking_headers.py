"""Headers of a response with scores. Some formats, such as TEI's, have no place for these facts in their body."""

from rerank_service.ranking.scores import ScoreType

SCORE_TYPE_HEADER = "x-rerank-score-type"


def ranking_headers(*, score_type: ScoreType, query_truncated: bool) -> dict[str, str]:
    """Return the headers, over gRPC and REST: the meaning of the scores, and whether the query was cut."""
    headers = {SCORE_TYPE_HEADER: score_type.value}
    return headers | {"x-query-truncated": "true"} if query_truncated else headers
