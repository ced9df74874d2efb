"""The layout of a pair: the tokens around the query and the document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rerank_service.encoding.template import Template
from rerank_service.errors import InvalidRequest
from rerank_service.scheduling.batching import Segment


@dataclass(frozen=True, slots=True)
class Head:
    """The part of a pair before the document."""

    segment: Segment
    query_tokens: int
    """Tokens of the query alone."""


class Layout(Protocol):
    """The layout of a model's pairs."""

    @property
    def size(self) -> int:
        """Tokens of a pair whose query and document are empty."""

    @property
    def tail(self) -> Segment:
        """The part of a pair after the document."""

    @property
    def document_type(self) -> int:
        """Token type id of a document's tokens."""

    @property
    def lead(self) -> str:
        """Text before each document that is tokenized together with it."""

    @property
    def lead_tokens(self) -> int:
        """Tokens of the lead alone."""

    def head(self, query: str, instruction: str) -> Head:
        """Return the part before the document. An empty `instruction` stands for the model's own.

        Raises:
            InvalidRequest: the layout has no slot for an instruction.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenizerLayout:
    """The layout of the tokenizer's post-processor: special tokens before, between and after query and document."""

    tokenizer: Tokenizer
    before: Segment
    between: Segment
    tail: Segment
    query_type: int
    document_type: int
    lead: str = ""
    lead_tokens: int = 0

    @property
    def size(self) -> int:
        return len(self.before) + len(self.between) + len(self.tail)

    def head(self, query: str, instruction: str) -> Head:
        if instruction:
            raise _no_slot()
        ids = token_ids(self.tokenizer, query)
        types = np.full(len(ids), self.query_type, np.int64)
        return Head(_join(self.before, Segment(ids, types), self.between), len(ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TemplateLayout:
    """The layout of a template. Its texts are tokenized separately; all tokens have type 0."""

    tokenizer: Tokenizer
    template: Template
    size: int
    tail: Segment
    lead: str
    lead_tokens: int
    document_type: int = 0

    def head(self, query: str, instruction: str) -> Head:
        if instruction and not self.template.takes_instruction:
            raise _no_slot()
        segment = _segment(self.tokenizer, self.template.head(query, instruction))
        return Head(segment, len(token_ids(self.tokenizer, query)))


def tokenizer_layout(tokenizer: Tokenizer) -> Layout | None:
    """Return the layout of a tokenizer's pairs. None: it does not place the query before the document.

    The layout is read from an encoded example, whose tokens carry the number of their sequence.
    """
    example = tokenizer.encode("a", "b")
    query = [at for at, sequence in enumerate(example.sequence_ids) if sequence == 0]
    document = [at for at, sequence in enumerate(example.sequence_ids) if sequence == 1]
    if not query or not document or query[-1] > document[0]:
        return None

    def part(start: int, end: int | None) -> Segment:
        return Segment(np.array(example.ids[start:end], np.int64), np.array(example.type_ids[start:end], np.int64))

    return _TokenizerLayout(
        tokenizer=tokenizer,
        before=part(0, query[0]),
        between=part(query[-1] + 1, document[0]),
        tail=part(document[-1] + 1, None),
        query_type=example.type_ids[query[0]],
        document_type=example.type_ids[document[0]],
    )


def template_layout(tokenizer: Tokenizer, template: Template) -> Layout:
    """Return the layout of a template."""
    head, tail = _segment(tokenizer, template.head("")), _segment(tokenizer, template.after)
    lead_tokens = len(token_ids(tokenizer, template.lead))
    return _TemplateLayout(
        tokenizer=tokenizer,
        template=template,
        size=len(head) + lead_tokens + len(tail),
        tail=tail,
        lead=template.lead,
        lead_tokens=lead_tokens,
    )


def _no_slot() -> InvalidRequest:
    return InvalidRequest(
        "instruction is not supported by this model, because its template has no slot for one: leave it out",
        field="instruction",
        reason="no_instruction_slot",
    )


def token_ids(tokenizer: Tokenizer, text: str) -> NDArray[np.int64]:
    """Return the token ids of a text, without special tokens; shape (tokens,)."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int64)


def _segment(tokenizer: Tokenizer, texts: Sequence[str]) -> Segment:
    ids = np.concatenate([np.array([], np.int64), *(token_ids(tokenizer, text) for text in texts)])
    return Segment(ids, np.zeros(len(ids), np.int64))


def _join(*segments: Segment) -> Segment:
    return Segment(
        np.concatenate([segment.ids for segment in segments]),
        np.concatenate([segment.type_ids for segment in segments]),
    )
