"""Fields of JSON bodies: the messages of invalid values."""

from typing import Any

import pytest

from rerank_service.api.http.dialects.unified import UnifiedBody
from rerank_service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"top_n": -1}, "top_n must be greater than or equal to 0, not -1"),
        ({"top_n": True}, "top_n must be a valid integer, not true"),
        ({"top_n": "private"}, "top_n must be a valid integer, not a string"),
        ({"query": None}, "query must be a valid string, not null"),
        ({"documents": {}}, "documents must be a valid list, not an object"),
        ({"truncation_side": "private"}, "truncation_side must be 'left', 'right' or ''"),
        ({"relevant_spans": "private"}, "relevant_spans must be an object, not a string"),
        ({"kwargs": "private"}, "kwargs must be empty: send its entries as fields of the body"),
    ],
)
def test_message_has_the_bound_and_the_value(extra: dict[str, Any], message: str) -> None:
    """A text of the caller is not quoted, because messages are logged."""
    with pytest.raises(InvalidRequest) as caught:
        UnifiedBody.read({"query": "q", "documents": ["d"], **extra})
    assert str(caught.value) == message
    assert caught.value.field == next(iter(extra))
