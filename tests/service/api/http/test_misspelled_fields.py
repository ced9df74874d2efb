"""Misspelled fields of a body: ignored, with a warning in the response. Over a real port, in every dialect."""

import pytest
from structlog.testing import capture_logs

from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.dashscope import DIALECT as DASHSCOPE
from rerank_service.api.http.dialects.unified import UnifiedBody
from rerank_service.api.http.misspelled_fields import misspelled_fields, nearest_field, warnings_header
from support.http import post
from support.running import Served

_BODY = {"query": "3", "documents": ["1", "2"]}
_HEADER = "x-rerank-warnings"
_IGNORED = (
    "backend",
    "user",
    "encoding_format",
    "cache_salt",
    "mm_processor_kwargs",
    "request_id",
    "stream",
)
"""Fields that clients send on purpose, and that have no effect."""


def _name(dialect: Dialect) -> str:
    return type(dialect).__module__.rpartition(".")[2]


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("topn", "top_n"),
        ("topN", "top_n"),
        ("top-n", "top_n"),
        ("retrun_documents", "return_documents"),
        ("max_token_per_doc", "max_tokens_per_doc"),
        ("minScore", "min_score"),
    ],
)
async def test_misspelled_field_is_a_warning(edges: Served, field: str, meant: str) -> None:
    """In a header, and in Cohere's `meta.warnings`. All documents are ranked."""
    response = await post(edges, {**_BODY, field: 1})
    warning = f'"{field}" is ignored: did you mean {meant}?'
    assert (response.status_code, len(response.json()["results"])) == (200, 2)
    assert response.headers[_HEADER] == warning
    assert response.json()["meta"]["warnings"] == [warning]


async def test_body_without_a_misspelled_field_has_no_warning(edges: Served) -> None:
    """Fields that clients send on purpose are ignored as before."""
    response = await post(edges, {**_BODY, "top_n": 1, **dict.fromkeys(_IGNORED, "x")})
    assert response.status_code == 200
    assert _HEADER not in response.headers
    assert "warnings" not in response.json()["meta"]


async def test_error_has_the_warnings_too(edges: Served) -> None:
    """The error may have another cause."""
    response = await post(edges, {**_BODY, "topn": 1, "min_score": "high"})
    assert response.status_code == 400
    assert response.headers[_HEADER] == '"topn" is ignored: did you mean top_n?'


async def test_missing_field_names_its_misspelling(edges: Served) -> None:
    """And not a field that is far from it."""
    response = await post(edges, {"query": "3", "documets": ["1"]})
    assert (response.status_code, response.json()["message"]) == (400, 'documents is required: rename "documets"')
    response = await post(edges, {"query": "3", "things": ["1"]})
    assert response.json()["message"] == "documents is required"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": "3", "docs": ["1"]}, 'documents is required: rename "docs"'),
        ({"q": "3", "documents": ["1"]}, 'query is required: rename "q"'),
    ],
    ids=["docs", "q"],
)
async def test_missing_field_names_a_guess(edges: Served, body: dict[str, object], message: str) -> None:
    """Other services and libraries have such names."""
    response = await post(edges, body)
    assert (response.status_code, response.json()["message"]) == (400, message)


@pytest.mark.parametrize("dialect", all_dialects(), ids=_name)
async def test_every_dialect_warns(dialect: Dialect) -> None:
    """About its first field. Its example has no warning, alone and with fields of other services."""
    body_type = dialect.request_type
    assert misspelled_fields(body_type, {**dialect.example, **dict.fromkeys(_IGNORED)}) == ()
    fields = [info.alias or name for name, info in body_type.model_fields.items()]
    field = next(name for name in fields if len(name) > 4)
    misspelled = field[:2] + field[3:]
    body = {name: value for name, value in dialect.example.items() if name != field}
    warnings = misspelled_fields(body_type, {**body, misspelled: None})
    assert [warning.startswith(f'"{misspelled}" is ignored: did you mean') for warning in warnings] == [True]


async def test_field_of_an_object_is_named_with_its_path() -> None:
    """`parameters` of DashScope."""
    body = {**DASHSCOPE.example, "parameters": {"topn": 1}}
    assert misspelled_fields(DASHSCOPE.request_type, body) == (
        '"parameters.topn" is ignored: did you mean parameters.top_n?',
    )


async def test_warnings_are_logged_at_debug(edges: Served) -> None:
    """With names, and without texts."""
    with capture_logs() as lines:
        await post(edges, {**_BODY, "topn": 1})
    [line] = [line for line in lines if line["event"] == "misspelled fields"]
    assert (line["log_level"], line["dialect"]) == ("debug", "cohere_v2")


def test_header_is_printable_ascii() -> None:
    """Whatever a name contains: a line break in a header would begin another one."""
    warnings = misspelled_fields(UnifiedBody, {"top_n\r\n": 1, "tóp_n": 1, "return_documents\ud800": 1})
    assert len(warnings) >= 2
    assert all(value.isascii() and value.isprintable() for value in warnings_header(warnings).values())
    assert warnings_header(()) == {}


def test_work_for_unknown_fields_is_bounded() -> None:
    """A million unknown fields and long ones are not compared with the known ones: this would take minutes."""
    body = {f"top_{number}": 1 for number in range(1_000_000)} | {"x" * 10_000_000: 1}
    assert len(misspelled_fields(UnifiedBody, body)) <= 5
    assert nearest_field(body, "documents") == ""
