"""Names of the documents in error messages."""

import pytest

from rerank_service.api.document_names import with_document_name
from rerank_service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("message", "field", "renamed"),
    [
        ("documents must not be empty", "documents", ("texts must not be empty", "texts")),
        ("documents[2] must be a string", "documents[2]", ("texts[2] must be a string", "texts[2]")),
        ("the model failed on documents[0]", None, ("the model failed on texts[0]", None)),
        ("documents[1].id is too long", "documents[1].id", ("texts[1].id is too long", "texts[1].id")),
        ("send fewer documents", "query", ("send fewer documents", "query")),
        ("return_documents is on", "return_documents", ("return_documents is on", "return_documents")),
    ],
)
def test_documents_get_the_clients_name(message: str, field: str | None, renamed: tuple[str, str | None]) -> None:
    """Other words stay the same."""
    assert with_document_name(InvalidRequest(message, field=field), "texts") == renamed
