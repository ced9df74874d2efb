"""Names of fields in error messages."""

import pytest

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.errors import InvalidRequest

_NAMES = FieldNames(documents="texts", query="input.query", instruction="instruct")


@pytest.mark.parametrize(
    ("message", "field", "renamed"),
    [
        ("documents must not be empty", "documents", ("texts must not be empty", "texts")),
        ("documents[2] must be a string", "documents[2]", ("texts[2] must be a string", "texts[2]")),
        ("the model failed on documents[0]", None, ("the model failed on texts[0]", None)),
        ("documents[1].id is too long", "documents[1].id", ("texts[1].id is too long", "texts[1].id")),
        (
            "query is too long: shorten the query",
            "query",
            ("input.query is too long: shorten the query", "input.query"),
        ),
        ("instruction is too long", "instruction", ("instruct is too long", "instruct")),
        ("send fewer documents", None, ("send fewer documents", None)),
        ("set a query", None, ("set a query", None)),
        ("query_too_long is on", "query_too_long", ("query_too_long is on", "query_too_long")),
        ("return_documents is on", "return_documents", ("return_documents is on", "return_documents")),
    ],
)
def test_fields_get_the_clients_names(message: str, field: str | None, renamed: tuple[str, str | None]) -> None:
    """Other words stay the same."""
    assert with_field_names(InvalidRequest(message, field=field), _NAMES) == renamed
