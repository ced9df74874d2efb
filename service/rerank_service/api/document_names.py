"""Names of the documents in error messages.

The core calls them `documents`. A client that sent `texts` or `passages` must find its own name in an error.
"""

import re

from rerank_service.errors import RequestError

_DOCUMENTS = re.compile(r"\bdocuments\[(?P<index>\d+)\]|^documents\b")
"""The field at the start of a message, or one of its documents anywhere in a message."""


def with_document_name(error: RequestError, name: str) -> tuple[str, str | None]:
    """Return the message and the field of an error, with `documents` replaced by the client's name for them.

    Args:
        error: an error of the core.
        name: the client's name for the documents, such as `texts` or `input.documents`.
    """

    def renamed(match: re.Match[str]) -> str:
        index = match["index"]
        return name if index is None else f"{name}[{index}]"

    return _DOCUMENTS.sub(renamed, str(error)), error.field and _DOCUMENTS.sub(renamed, error.field)
