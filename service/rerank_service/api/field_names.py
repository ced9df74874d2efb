"""Names of fields in error messages.

The core calls them `documents`, `query` and `instruction`. A client that sent `texts`, `queries` or `instruct` must
find its own name in an error.
"""

import re
from dataclasses import dataclass

from rerank_service.errors import RequestError

_FIELD = re.compile(r"\b(?P<document>documents)(?=\[\d+\])|^(?P<field>documents|query|instruction)\b")
"""One of the documents anywhere in a message, or the field at its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """The client's names of fields, such as `texts` or `input.documents`. The defaults are those of the core."""

    documents: str = "documents"
    query: str = "query"
    instruction: str = "instruction"


def with_field_names(error: RequestError, names: FieldNames) -> tuple[str, str | None]:
    """Return the message and the field of an error of the core, with the client's names of the fields."""

    def renamed(match: re.Match[str]) -> str:
        return str(getattr(names, match["document"] or match["field"]))

    return _FIELD.sub(renamed, str(error)), error.field and _FIELD.sub(renamed, error.field)
