"""What stands around the query and the document of a pair, as tokens."""

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
    """What a pair begins with."""

    segment: Segment
    query_tokens: int
    """Tokens of the query alone."""


class Layout(Protocol):
    """How pairs are laid out."""

    @property
    def size(self) -> int:
        """Tokens of a pair whose query and document are empty."""

    @property
    def tail(self) -> Segment:
        """What follows the document."""

    @property
    def document_type(self) -> int:
        """Token type id of a document's tokens."""

    @property
    def lead(self) -> str:
        """Text that is tokenized together with each document, before it."""

    @property
    def lead_tokens(self) -> int:
        """How many tokens that is, by itself."""

    def head(self, query: str, instruction: str) -> Head:
        """What precedes the document. Raises InvalidRequest where there is no slot for an instruction."""


@dataclass(frozen=True, slots=True)
class _Own:
    """The pair form of the tokenizer's own post-processor: special tokens before, between and after."""

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


@dataclass(frozen=True, slots=True)
class _Written:
    """A template of the bundle's: texts, each tokenized by itself; all of token type 0."""

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
        segment = _written(self.tokenizer, self.template.head(query, instruction))
        return Head(segment, len(token_ids(self.tokenizer, query)))


def own_layout(tokenizer: Tokenizer) -> Layout | None:
    """Read off a probe pair; its tokens know which of the two sequences they belong to. None: not query, document."""
    probe = tokenizer.encode("a", "b")
    query = [at for at, sequence in enumerate(probe.sequence_ids) if sequence == 0]
    document = [at for at, sequence in enumerate(probe.sequence_ids) if sequence == 1]
    if not query or not document or query[-1] > document[0]:
        return None

    def part(start: int, end: int | None) -> Segment:
        return Segment(np.array(probe.ids[start:end], np.int64), np.array(probe.type_ids[start:end], np.int64))

    return _Own(
        tokenizer,
        part(0, query[0]),
        part(query[-1] + 1, document[0]),
        part(document[-1] + 1, None),
        probe.type_ids[query[0]],
        probe.type_ids[document[0]],
    )


def written_layout(tokenizer: Tokenizer, template: Template) -> Layout:
    """The layout of a template."""
    head, tail = _written(tokenizer, template.head("")), _written(tokenizer, template.after)
    lead_tokens = len(token_ids(tokenizer, template.lead))
    return _Written(tokenizer, template, len(head) + lead_tokens + len(tail), tail, template.lead, lead_tokens)


def _no_slot() -> InvalidRequest:
    return InvalidRequest(
        "the model takes no instruction: its template has no slot for one",
        field="instruction",
        reason="no_instruction_slot",
    )


def token_ids(tokenizer: Tokenizer, text: str) -> NDArray[np.int64]:
    """Of a text alone, without the special tokens that a tokenizer puts around it."""
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int64)


def _written(tokenizer: Tokenizer, texts: Sequence[str]) -> Segment:
    ids = np.concatenate([np.array([], np.int64), *(token_ids(tokenizer, text) for text in texts)])
    return Segment(ids, np.zeros(len(ids), np.int64))


def _join(*segments: Segment) -> Segment:
    return Segment(
        np.concatenate([segment.ids for segment in segments]),
        np.concatenate([segment.type_ids for segment in segments]),
    )
