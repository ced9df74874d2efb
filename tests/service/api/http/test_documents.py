"""Documents in JSON: content parts of vLLM."""

from typing import Any

import pytest

from rerank_service.api.http.documents import JsonReader, as_object
from rerank_service.encoding.text_length import text_length
from rerank_service.errors import InvalidRequest
from rerank_service.ranking.document import SentDocument


def _parts(*texts: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text, **more} for text in texts]}


def _text(raw: Any, *rank_fields: str) -> str:
    return JsonReader(rank_fields).read(SentDocument(raw, 1), "documents[0]").text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (_parts("Paris is in France."), "Paris is in France."),
        (_parts("Paris", "is in France."), "Paris\nis in France."),
        (_parts("Paris", uuid=None), "Paris"),
        (_parts(""), ""),
    ],
)
def test_text_parts_are_their_text(raw: Any, text: str) -> None:
    """As in vLLM. The returned document has the text, too."""
    assert _text(raw) == text
    assert JsonReader().length(raw) == text_length(text)
    assert as_object(raw) == {**raw, "text": text}


@pytest.mark.parametrize(
    "raw",
    [
        {"content": []},
        {"content": [{"type": "text", "text": None}]},
        {"content": [{"type": "input_text", "text": "Paris"}]},
        {"content": ["Paris"]},
        {**_parts("Paris"), "title": "Cities"},
    ],
)
def test_other_object_with_content_is_an_object_like_any_other(raw: Any) -> None:
    """Its fields are ranked as YAML."""
    assert _text(raw) == _text(raw, *raw)


def test_selected_field_is_ranked_as_it_is() -> None:
    """`rank_fields` says which text is ranked."""
    assert _text(_parts("Paris"), "content") == "- type: text\n  text: Paris"


def test_depth_of_text_parts_is_limited() -> None:
    """The object may be returned."""
    deep: Any = "x"
    for _ in range(30):
        deep = [deep]
    with pytest.raises(InvalidRequest, match=r"documents\[0\] is nested more than"):
        _text(_parts("Paris", uuid=deep))
