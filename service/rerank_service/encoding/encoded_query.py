"""Encode a query with the layout around it. A query that leaves documents too little room is cut or rejected."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from rerank_service.encoding.pair_layout import Head, Layout
from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.encoding.token_spans import token_spans
from rerank_service.errors import InvalidRequest
from rerank_service.quantities import counted
from rerank_service.ranking.request import CutSide
from rerank_service.scheduling.batching import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQuery:
    """A query with the layout around it."""

    head: Segment
    """The part of a pair before the document: the query and the tokens around it."""
    tail: Segment
    """The part of a pair after the document."""
    document_type: int
    """Token type id of a document's tokens."""
    query_tokens: int
    """Tokens of the query alone, after a cut."""
    room: int
    """Tokens left for a document; at least 1."""
    lead: str = ""
    """Text before each document that is tokenized together with it."""
    lead_tokens: int = 0
    """Tokens of the lead alone."""
    truncated: bool = False
    """True if the query was cut."""


def fit_query(tokenizer: Tokenizer, layout: Layout, query: str, instruction: str, limits: PairLimits) -> EncodedQuery:
    """Return the query with the layout around it, cut if it must be and may be.

    Raises:
        InvalidRequest: the query or the instruction is too long, or there is no slot for the instruction.
    """
    head = layout.head(query, instruction)
    template = len(head.segment) - head.query_tokens + layout.lead_tokens + len(layout.tail)
    longest = int(limits.longest_query(template))
    truncated = head.query_tokens > longest
    if truncated:
        _check_template(head.query_tokens, template, instruction, limits)
        if not limits.cut_query:
            raise _query_too_long(head.query_tokens, longest, limits)
        head = _cut_head(tokenizer, layout, query, instruction, longest, limits.cut_side)
    room = limits.tokens - len(head.segment) - layout.lead_tokens - len(layout.tail)
    if room < 1:  # the only character of a cut query has several tokens
        raise _query_too_long(head.query_tokens, longest, limits)
    return EncodedQuery(
        head=head.segment,
        tail=layout.tail,
        document_type=layout.document_type,
        query_tokens=head.query_tokens,
        room=room,
        lead=layout.lead,
        lead_tokens=layout.lead_tokens,
        truncated=truncated,
    )


def _check_template(query_tokens: int, template: int, instruction: str, limits: PairLimits) -> None:
    """Check that the template leaves a query as much room as a document gets.

    Raises:
        InvalidRequest: the instruction is too long, or the request allows too few tokens for a pair.
    """
    left = limits.tokens - template - limits.min_room
    if left >= min(query_tokens, limits.min_room):
        return
    if instruction:
        raise InvalidRequest(
            f"instruction makes a template of {counted(template, 'token')} and leaves {max(0, left):,} of "
            f"{counted(limits.tokens, 'token')} for the query: shorten the instruction",
            field="instruction",
            reason="instruction_too_long",
        )
    raise InvalidRequest(  # no other field lowers the limit of a pair; the model's own limit was checked at the start
        f"truncate_prompt_tokens is {limits.tokens:,}, and the template of the model alone has "
        f"{counted(template, 'token')}: set it to at least {template + 2:,}, or to -1 for the model's limit",
        field="truncate_prompt_tokens",
        reason="out_of_range",
    )


def _query_too_long(tokens: int, longest: int, limits: PairLimits) -> InvalidRequest:
    cause = (
        "exceeds the limit that the request sets"
        if longest == limits.query_tokens
        else f"leaves too little room for a document in a pair of at most {counted(limits.tokens, 'token')}"
    )
    return InvalidRequest(
        f"query has {counted(tokens, 'token')} and {cause}: shorten the query to at most {max(0, longest):,}, or allow "
        "a cut by the field truncate, truncation or query_too_long",
        field="query",
        reason="query_too_long",
    )


def _cut_head(tokenizer: Tokenizer, layout: Layout, query: str, instruction: str, longest: int, side: CutSide) -> Head:
    """Return the head with the first, or the last, `longest` tokens of the query.

    The query is cut as a text, since a template may tokenize it together with other text. The cut text can have more
    tokens than it had within the query; then it is cut further.
    """
    spans = token_spans(tokenizer.encode(query, add_special_tokens=False), query)
    kept = longest
    while True:
        part = query[: spans[kept - 1][1]] if side is CutSide.RIGHT else query[spans[-kept][0] :]
        head = layout.head(part, instruction)
        if head.query_tokens <= longest or kept == 1:
            return head
        kept = max(1, kept - (head.query_tokens - longest))
