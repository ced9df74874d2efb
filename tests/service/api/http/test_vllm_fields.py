"""Fields of vLLM that its rerank and score requests share."""

from typing import Any

import pytest

from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.score import DIALECT as SCORES
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.errors import InvalidRequest

_BODIES: list[tuple[Dialect, dict[str, Any]]] = [
    (UNIFIED, {"query": "0", "documents": ["1"]}),
    (SCORES, {"text_1": "0", "text_2": "1"}),
]


@pytest.mark.parametrize(("dialect", "body"), _BODIES, ids=["rerank", "score"])
@pytest.mark.parametrize(
    ("extra", "instruction"),
    [
        ({"chat_template_kwargs": {"instruction": "Find laws"}}, "Find laws"),
        ({"chat_template_kwargs": {"instruction": "Find laws"}, "instruction": "Find books"}, "Find laws"),
        ({"chat_template_kwargs": {"instruction": ""}, "instruction": "Find books"}, "Find books"),
        ({"chat_template_kwargs": {"instruction": None}, "instruction": "Find books"}, "Find books"),
        ({"chat_template_kwargs": {}}, ""),
        ({"chat_template_kwargs": {"enable_thinking": None}}, ""),
        ({"chat_template_kwargs": None}, ""),
    ],
)
def test_instruction_of_the_template_is_applied(
    dialect: Dialect, body: dict[str, Any], extra: dict[str, Any], instruction: str
) -> None:
    """It overrides the field `instruction`, as in vLLM. An empty one does not."""
    assert dialect.decode(body | extra).request.instruction == instruction


@pytest.mark.parametrize(("dialect", "body"), _BODIES, ids=["rerank", "score"])
@pytest.mark.parametrize("value", [1, False, "", {}])
def test_other_argument_of_the_template_is_rejected(dialect: Dialect, body: dict[str, Any], value: Any) -> None:
    """It might change the result."""
    with pytest.raises(InvalidRequest, match="Supported: instruction") as caught:
        dialect.decode(body | {"chat_template_kwargs": {"instruction": "Find laws", "x": value}})
    assert (caught.value.field, caught.value.reason) == ("chat_template_kwargs.x", "unsupported")
