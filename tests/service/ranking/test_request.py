"""Bounds of the fields of a request."""

import math
from typing import Any

import pytest

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.request import QueryTooLong, RerankRequest, TooLong


@pytest.mark.parametrize("field", ["top_n", "max_tokens_per_doc", "max_chunks_per_doc"])
def test_limit_of_zero_is_no_limit(field: str) -> None:
    """Generated clients send 0 for an unset number."""
    assert RerankRequest(**{"query": "q", field: 0}) == RerankRequest(query="q")  # type: ignore[arg-type]


def test_overlap_of_zero_is_an_overlap() -> None:
    """It is not the default."""
    assert RerankRequest(query="q", overlap_tokens=0).overlap_tokens == 0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "q", "top_n": -3}, "top_n"),
        ({"query": "q", "max_tokens_per_doc": -1}, "max_tokens_per_doc"),
        ({"query": "q", "max_chunks_per_doc": -1}, "max_chunks_per_doc"),
        ({"query": "q", "overlap_tokens": -1}, "overlap_tokens"),
        ({"query": "q", "min_score": math.nan}, "min_score"),
    ],
)
def test_error_names_the_field_that_is_out_of_bounds(values: dict[str, object], field: str) -> None:
    """gRPC and REST both return the field."""
    with pytest.raises(InvalidRequest) as caught:
        RerankRequest(**values)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("options", "cut"),
    [
        ({}, True),
        ({"too_long": TooLong.CUT}, True),
        ({"too_long": TooLong.WHOLE}, False),
        ({"too_long": TooLong.REFUSE}, False),
        ({"too_long": TooLong.REFUSE, "query_too_long": QueryTooLong.CUT}, True),
        ({"query_too_long": QueryTooLong.REFUSE}, False),
    ],
)
def test_long_query_is_cut_where_documents_are(options: dict[str, Any], cut: bool) -> None:
    """Unless the request says otherwise."""
    assert RerankRequest(query="q", **options).cuts_query is cut
