"""How a pair is written for a model: texts around the query and the document.

Rule: each text is tokenized by itself, as the models' own code does, so that no token spans two of them, and only the
end of the document is ever cut.
"""

import re
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

QUERY, DOCUMENT, INSTRUCTION = "{query}", "{document}", "{instruction}"
_SLOT = re.compile(r"\{(query|document|instruction)\}")


class Template(BaseModel):
    """A pair's template. What is in braces is filled: {query}, {document}, {instruction}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: tuple[str, ...]
    """Texts before the document, in order: prefix, instruction, query, whatever stands between."""
    document: str = DOCUMENT
    """The document, and what is tokenized together with its beginning."""
    after: tuple[str, ...] = ()
    """Texts after the document: the suffix."""
    instruction: str = ""
    """What fills its slot where a request says nothing. Empty: a text with that slot is then left out."""

    @model_validator(mode="after")
    def _slots_are_where_they_belong(self) -> Self:
        before, after = "".join(self.before), "".join(self.after)
        if before.count(QUERY) != 1 or before.count(INSTRUCTION) > 1 or DOCUMENT in before:
            raise ValueError("before the document, {query} stands once, and {instruction} at most once")
        if _SLOT.findall(self.document) != ["document"] or not self.document.endswith(DOCUMENT):
            raise ValueError("{document} stands once, at the end of its text: what follows could be cut with it")
        if _SLOT.search(after):
            raise ValueError("behind the document there is no slot")
        if self.instruction and not self.takes_instruction:
            raise ValueError("there is an instruction and no {instruction} to fill with it")
        return self

    @property
    def takes_instruction(self) -> bool:
        """Whether a request may bring its own."""
        return any(INSTRUCTION in text for text in self.before)

    @property
    def lead(self) -> str:
        """What stands right before the document in its own text."""
        return self.document.removesuffix(DOCUMENT)

    def head(self, query: str, instruction: str = "") -> list[str]:
        """The texts before the document, filled."""
        values = {"query": query, "instruction": instruction or self.instruction}
        return [_filled(text, values) for text in self.before if values["instruction"] or INSTRUCTION not in text]


def _filled(text: str, values: Mapping[str, str]) -> str:
    """All slots in one pass: what looks like a slot in a query is the query's own."""
    return _SLOT.sub(lambda slot: values[slot[1]], text)
