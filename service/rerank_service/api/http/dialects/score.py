"""vLLM's `/score`: pairs of texts and their scores, in the order of the input.

Source: its vllm/entrypoints/pooling/score. One text with many makes a query and its documents; as many with as many
are pairs, each of them a document with a query of its own.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.http.dialects import Answer, Body, DecodedRequest, Exchange
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.http.vllm_fields import VllmFields
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.quantities import counted
from rerank_service.ranking.document import Document, SentDocument
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_PAIRS = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
"""What the two sides are called: what vLLM has, newer names last."""
_NAMES = frozenset(name for pair in _PAIRS for name in pair)
_EXAMPLE: Body = {
    "text_1": "capital of France",
    "text_2": ["Rome is in Italy.", "Paris is in France.", "Cats sleep all day."],
}


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else [value]


def _side(text: Mapping[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": text, "minItems": 1}, {"type": "null"}]})


Queries = Annotated[list[str] | None, BeforeValidator(_listed), _side({"type": "string", "minLength": 1})]
Texts = Annotated[list[str] | None, BeforeValidator(_listed), _side({"type": "string"})]


def _one_with_any(first: str, second: str) -> dict[str, Any]:
    one = {"anyOf": [{"type": "string"}, {"type": "array", "maxItems": 1}]}
    others: dict[str, Any] = {name: {"type": "null"} for name in _NAMES - {first, second}}
    pair = {first: one, second: {"type": ["string", "array"]}}
    return {"required": [first, second], "properties": others | pair}


class ScoreBody(VllmFields):
    """Two texts, a text and a list, or two lists of the same length, by any of the names that vLLM has for them."""

    # of two lists JSON Schema cannot say that they are of the same length
    model_config = ConfigDict(json_schema_extra={"anyOf": [_one_with_any(*pair) for pair in _PAIRS]})

    text_1: Queries = None
    """The query, or one for each of the others."""
    text_2: Texts = None
    """What is scored for it."""
    queries: Queries = None
    """Another name for text_1."""
    documents: Texts = None
    """Another name for text_2, beside queries."""
    items: Texts = None
    """Likewise."""
    data_1: Queries = None
    """Another name for text_1."""
    data_2: Texts = None
    """Another name for text_2, beside data_1."""


class Score(TypedDict):
    """The score of a pair."""

    index: int
    object: Literal["score"]
    score: float


class ScoreAnswer(TypedDict):
    """The scores, in the order of the input."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: Usage


class Scores:
    """The dialect."""

    paths = ("/score", "/v1/score")
    shown = paths
    request = ScoreBody
    response: Any = ScoreAnswer
    errors: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:  # noqa: ARG002 - the paths are its own
        """Always."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request; its documents are pairs."""
        parsed = ScoreBody.read(body)
        first, second = _names(body)
        _check_one_pair(body, first, second)
        queries, texts = getattr(parsed, first) or [], getattr(parsed, second) or []
        _check_counts(queries, texts, first, second)
        request = RerankRequest(
            query=max(queries, key=len),  # the longest, since it is what a guess of the cost goes by
            model=parsed.model or "",
            too_long=parsed.too_long,
            cut_side=parsed.cut_side,
            score_type=parsed.activation_type,
            priority=parsed.priority or 0,
            instruction=parsed.instruction or "",
        )
        many = queries if len(queries) > 1 else repeat(None, len(texts))
        return DecodedRequest(request, list(zip(many, texts, strict=True)), _PairReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The scores."""
        scored = sorted(ranking, key=lambda one: one.index)
        data: list[Score] = [{"index": one.index, "object": "score", "score": one.relevance_score} for one in scored]
        answer: ScoreAnswer = {
            "id": exchange.id,
            "object": "list",
            "created": exchange.created,
            "model": ranking.model,
            "data": data,
            "usage": usage(ranking),
        }
        return Answer(answer)

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The error."""
        return Answer(error_body(error, exchange.body, documents=_names(exchange.body)[1]), error.http_status)


class _PairReader:
    """Reads pairs of a text and, where it has one of its own, its query."""

    def chars(self, raw: tuple[str | None, str]) -> int:
        """Of both, since both are tokenized."""
        query, text = raw
        return len(query or "") + len(text)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - strings are never wrong
        """Return the text as a document, with its query."""
        query, text = sent.raw
        return Document(text, original=text, size=len(text), query=query)


def _names(body: Body) -> tuple[str, str]:
    """What the sides are called in a body; of several pairs the one of which there is most."""
    return max(_PAIRS, key=lambda pair: sum(body.get(name) is not None for name in pair))


def _check_one_pair(body: Body, first: str, second: str) -> None:
    for name in sorted(_NAMES - {first, second}):
        if body.get(name) is not None:
            raise InvalidRequest(f"{name} is one text too many beside {first} and {second}", field=name)


def _check_counts(queries: Sequence[str], texts: Sequence[str], first: str, second: str) -> None:
    for name, side in ((first, queries), (second, texts)):
        if not side:
            raise InvalidRequest(f"{name} must be given, and not be empty", field=name, reason="missing")
    if not all(queries):
        raise InvalidRequest(f"{first} must not hold an empty text", field=first, reason="empty_query")
    if len(queries) not in (1, len(texts)):
        raise InvalidRequest(
            f"{first} has {counted(len(queries), 'text')} and {second} has {len(texts):,}: it must be one, or as many",
            field=first,
            reason="counts_differ",
        )


DIALECT = Scores()
