"""vLLM scores: pairs of texts, with their scores in the order of the request.

Source: vLLM, vllm/entrypoints/pooling/score. One text on the left is the query of all texts on the right. If there are
many texts on the left, each pair is a document with its own query.
"""

from collections.abc import Mapping
from itertools import repeat
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.dialects.paths import INVOCATIONS_PATH
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.field_types import Strings, one_as_list
from rerank_service.api.http.openapi_tags import SERVERS
from rerank_service.api.http.pairs import PairReader, check_pairs
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.http.vllm_fields import VllmFields, instruction_name
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_PAIRS = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))
"""Names of the left and the right side in vLLM; newer names are last."""
_SIDES = frozenset(name for pair in _PAIRS for name in pair)
_EXAMPLE: Body = {
    "text_1": "capital of France",
    "text_2": ["Rome is in Italy.", "Paris is in France.", "Cats sleep all day."],
}


Side = Annotated[
    Strings | None,
    BeforeValidator(one_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]
"""A text, several texts, or nothing. `_pair_schema` has the rules for the sides that a request uses."""


def _pair_schema(first: str, second: str) -> dict[str, Any]:
    """Return the schema of a body with one text on the left. JSON Schema cannot compare the lengths of two lists.

    The other sides are unused: null, or the empty text or list that a generated client sends for an unset field.
    """
    query = {"type": "string", "minLength": 1}
    single = {"anyOf": [query, {"type": "array", "items": query, "minItems": 1, "maxItems": 1}]}
    others: dict[str, Any] = {name: {"enum": [None, "", []]} for name in _SIDES - {first, second}}
    pair = {first: single, second: {"type": ["string", "array"], "minItems": 1}}
    return {"required": [first, second], "properties": others | pair}


class ScoreBody(VllmFields):
    """Pairs of texts: one and one, one and many, or two lists of the same length.

    Set one of these pairs of fields: `text_1` and `text_2`, `queries` and `documents`, `queries` and `items`, or
    `data_1` and `data_2`. The others must be null, an empty text or an empty list.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": [_pair_schema(*pair) for pair in _PAIRS]})

    text_1: Side = None
    """The query, or a list with one query per text in `text_2`. A query must not be empty."""
    text_2: Side = None
    """The texts that are scored for `text_1`."""
    queries: Side = None
    """Other name of `text_1`, with `documents` or `items`."""
    documents: Side = None
    """Other name of `text_2`, with `queries`."""
    items: Side = None
    """Other name of `text_2`, with `queries`."""
    data_1: Side = None
    """Other name of `text_1`, with `data_2`."""
    data_2: Side = None
    """Other name of `text_2`, with `data_1`."""


@documented
class Score(TypedDict):
    """The score of a pair."""

    index: int
    """Position of the pair in the request, from 0."""
    object: Literal["score"]
    score: float
    """A probability from 0 to 1, or a logit if `use_activation` is false. Higher is more relevant."""


@documented
class ScoreResponse(TypedDict):
    """The scores."""

    id: str
    """The request id."""
    object: Literal["list"]
    created: int
    """Time of the request, in seconds since 1970."""
    model: str
    """Name of the model that computed the scores."""
    data: list[Score]
    """One score per pair, in the order of the request."""
    query_truncated: NotRequired[Literal[True]]
    """Present if a query was cut."""
    usage: Usage


class Scores:
    """The dialect of vLLM's score paths."""

    documented_paths = ("/score", "/v1/score")
    paths = (*documented_paths, INVOCATIONS_PATH)
    title = "vLLM (scores of pairs)"
    tag = SERVERS
    request_type = ScoreBody
    response_type: Any = ScoreResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the body has the left side of pairs, and no query. On the score paths, any body has this
        dialect: they have no other."""
        return any(body.get(first) for first, _ in _PAIRS) and not body.get("query")

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body. Its documents are pairs of an optional query and a text."""
        parsed = ScoreBody.read(body)
        first, second = _names(body)
        _check_single_pair(body, first, second)
        queries, texts = getattr(parsed, first) or [], getattr(parsed, second) or []
        check_pairs(queries, texts, first, second)
        request = RerankRequest(
            query=max(queries, key=len),  # the longest: its length is checked
            model=parsed.model or "",
            too_long=parsed.too_long,
            cut_side=parsed.cut_side,
            max_tokens_per_doc=parsed.max_tokens_per_doc,
            max_pair_tokens=parsed.max_pair_tokens,
            max_query_tokens=parsed.max_tokens_per_query,
            score_type=parsed.activation_type,
            priority=parsed.priority or 0,
            instruction=parsed.applied_instruction(),
        )
        own_queries = queries if len(queries) > 1 else repeat(None, len(texts))
        return DecodedRequest(request, list(zip(own_queries, texts, strict=True)), PairReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        data: list[Score] = [
            {"index": ranked.index, "object": "score", "score": ranked.relevance_score}
            for ranked in sorted(ranking, key=lambda ranked: ranked.index)
        ]
        response: ScoreResponse = {
            "id": exchange.id,
            "object": "list",
            "created": exchange.created,
            "model": ranking.model,
            "data": data,
            "usage": usage(ranking),
        }
        if ranking.query_truncated:
            response["query_truncated"] = True
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        body = exchange.body
        first, second = _names(body)
        documents = "documents" if body.get("documents") else second
        names = FieldNames(documents=documents, query=first, instruction=instruction_name(body))
        return JsonResponse(error_body(error, body, names), error.http_status)


def _names(body: Body) -> tuple[str, str]:
    """Return the names of both sides in a body: the pair of which the most fields have texts, the older pair if equal.

    Fields with an empty text or list decide between pairs with equally many texts.
    """

    def texts_and_fields(pair: tuple[str, str]) -> tuple[int, int]:
        values = [body.get(name) for name in pair]
        return sum(map(bool, values)), sum(value is not None for value in values)

    return max(_PAIRS, key=texts_and_fields)


def _check_single_pair(body: Body, first: str, second: str) -> None:
    for name in sorted(_SIDES - {first, second}):
        if body.get(name):
            others = [side for side in (first, second) if {name, side} not in map(set, _PAIRS)]
            raise InvalidRequest(f"Set either {name} or {' and '.join(others)}, not both.", field=name)


DIALECT = Scores()
