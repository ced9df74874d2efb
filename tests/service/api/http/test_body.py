"""Fields of JSON bodies: the messages of invalid values."""

from typing import Any

import pytest
from pydantic import ValidationError

from rerank_service.api.http.body import JsonBody
from rerank_service.api.http.dialects.bedrock import BedrockBody
from rerank_service.api.http.dialects.deepinfra import DeepInfraBody
from rerank_service.api.http.dialects.mixedbread import MixedbreadBody
from rerank_service.api.http.dialects.score import ScoreBody
from rerank_service.api.http.dialects.tei import TeiBody
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


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (TeiBody, {"query": "q", "texts": [1, 2]}),
        (ScoreBody, {"text_1": [1, 2]}),
        (DeepInfraBody, {"queries": ["q"], "documents": [1, 2]}),
        (DeepInfraBody, {"queries": [1, 2], "documents": ["d"]}),
        (BedrockBody, {"queries": [1, 2], "sources": []}),
        (UnifiedBody, {"query": "q", "documents": ["d"], "rank_fields": [1, 2]}),
        (MixedbreadBody, {"query": "q", "input": ["d"], "rank_fields": [1, 2]}),
    ],
)
def test_check_of_a_list_ends_at_the_first_wrong_item(body: type[JsonBody], content: dict[str, Any]) -> None:
    """An error for each of a million items would take seconds and gigabytes."""
    with pytest.raises(ValidationError) as caught:
        body.model_validate(content)
    assert caught.value.error_count() == 1
