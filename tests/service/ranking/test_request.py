"""Bounds of the fields of a request."""

import math

import pytest

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.request import RerankRequest


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "q", "top_n": 0}, "top_n"),
        ({"query": "q", "top_n": -3}, "top_n"),
        ({"query": "q", "max_tokens_per_doc": 0}, "max_tokens_per_doc"),
        ({"query": "q", "min_score": math.nan}, "min_score"),
    ],
)
def test_error_names_the_field_that_is_out_of_bounds(values: dict[str, object], field: str) -> None:
    """gRPC and REST both return the field."""
    with pytest.raises(InvalidRequest) as caught:
        RerankRequest(**values)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert field in str(caught.value)
