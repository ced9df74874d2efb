"""The header of a response whose query was cut. Some formats, such as TEI's, have no place for it in their body."""


def cut_headers(*, query_truncated: bool) -> dict[str, str]:
    """Return the header for a query that was cut, over gRPC and REST; none for a whole query."""
    return {"x-query-truncated": "true"} if query_truncated else {}
