"""Templates: the texts around the query and the document of a pair.

Rule: each text is tokenized separately, as the models' own code does. So no token spans two texts, and only the end of
the document is ever cut.
"""

import re
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

QUERY, DOCUMENT, INSTRUCTION = "{query}", "{document}", "{instruction}"
_SLOT = re.compile(r"\{(query|document|instruction)\}")


class Template(BaseModel):
    """The template of a model's pairs. Its slots are {query}, {document} and {instruction}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: tuple[str, ...]
    """Texts before the document, in order: prefix, instruction, query, and any text between them."""
    document: str = DOCUMENT
    """The document, with the text that is tokenized together with its beginning."""
    after: tuple[str, ...] = ()
    """Texts after the document."""
    instruction: str = ""
    """Default text of the instruction slot. Empty: the text with the slot is left out unless a request fills it, or has
    the query, too."""

    @model_validator(mode="after")
    def _check_slots(self) -> Self:
        before, after = "".join(self.before), "".join(self.after)
        if before.count(QUERY) != 1 or before.count(INSTRUCTION) > 1 or DOCUMENT in before:
            raise ValueError(
                "template: the texts before the document must contain {query} once, {instruction} at most once, and no "
                "{document}"
            )
        if _SLOT.findall(self.document) != ["document"] or not self.document.endswith(DOCUMENT):
            raise ValueError(
                "template: {document} must occur once, at the end of its text, because the end of that text may be cut"
            )
        if _SLOT.search(after):
            raise ValueError("template: the texts after the document must not contain a slot")
        if self.instruction and not self.takes_instruction:
            raise ValueError("template: there is a default instruction, but no {instruction} slot for it")
        return self

    @property
    def takes_instruction(self) -> bool:
        """True if a request may set the instruction."""
        return any(INSTRUCTION in text for text in self.before)

    @property
    def lead(self) -> str:
        """Text directly before the document that is tokenized together with it."""
        return self.document.removesuffix(DOCUMENT)

    def head(self, query: str, instruction: str = "") -> list[str]:
        """Return the texts before the document, with their slots filled."""
        values = {"query": query, "instruction": instruction or self.instruction}
        filled = values["instruction"]
        return [fill_slots(text, values) for text in self.before if filled or INSTRUCTION not in text or QUERY in text]


def fill_slots(text: str, values: Mapping[str, str]) -> str:
    """Fill all slots in one pass, so that a slot in the text of a query stays as it is. `values` is by slot name."""
    return _SLOT.sub(lambda slot: values[slot[1]], text)
