"""Bodies with `documents`: Cohere v1 and v2, Together, Jina, Voyage and those who copied them.

Their answers differ in keys, not in meaning, so one answer holds what each client's parser demands. The rules,
each with the client that breaks without it, are in docs/clients.md.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from rerank_service.api.dialects import Asked, Body, Exchange
from rerank_service.documents import Document, object_text
from rerank_service.errors import InvalidRequest, RerankError
from rerank_service.ranking import RankedDocument, Ranking, RerankRequest, ScoreType

_VOYAGE_KEYS = {"model", "query", "documents", "top_k", "return_documents", "truncation"}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_DOCUMENTS_A_SEARCH_UNIT = 100


def _unwrap_text(value: Any) -> Any:
    return value["text"] if isinstance(value, dict) and "text" in value else value


def _word_as_bool(value: Any) -> Any:
    """RAGFlow sends the string "true"."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


class UnifiedBody(BaseModel):
    """What is read of a body; unknown keys are ignored, and every optional one may be null."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, use_attribute_docstrings=True)

    model: str | None = None
    """The model's name or an alias; absent, null, empty and "default" mean the model served."""
    query: Annotated[str, BeforeValidator(_unwrap_text)]
    """The query, or `{"text": query}`."""
    documents: Annotated[
        list[Any],
        WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}, "minItems": 1}),
    ]
    """Strings, or objects whose fields are ranked in their order."""
    top_n: Annotated[int, Field(ge=1)] | None = None
    """How many results to return; all of them when absent."""
    top_k: Annotated[int, Field(ge=1)] | None = None
    """Voyage's name for top_n."""
    return_documents: Annotated[bool | None, BeforeValidator(_word_as_bool)] = None
    """Whether each result carries its document."""
    rank_fields: list[str] | None = None
    """Which fields of object documents are ranked, in this order; all of them when absent or empty."""
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = None
    """Cut each document to this many tokens."""
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    """Lower runs earlier; 0 is the default."""
    instruction: str | None = None
    """What to look for, in place of the model's own instruction; only for models whose template has a slot for it."""
    raw_scores: bool | None = None
    """Give logits instead of probabilities, as Infinity calls it."""
    use_activation: bool | None = None
    """The same by vLLM's name, the other way round: false gives logits."""
    score_type: Literal["probability", "raw", "sigmoid", "calibrated"] | None = None
    """What relevance_score holds, as in rerank.proto; wins over the two above."""


class Unified:
    """The dialect."""

    paths = ("/v1/rerank", "/v2/rerank", "/rerank", "/v1/v1/rerank", "/v1/v2/rerank", "/reranking", "/v1/reranking")
    schema = UnifiedBody

    def speaks(self, body: Body) -> bool:
        """By `documents`."""
        return "documents" in body

    def decode(self, body: Body) -> Asked:
        """A body's request and documents."""
        try:
            parsed = UnifiedBody.model_validate(body)
        except ValidationError as error:
            raise _invalid(error) from error
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n or parsed.top_k,
            return_documents=bool(parsed.return_documents),
            max_tokens_per_doc=parsed.max_tokens_per_doc,
            score_type=_score_type(parsed),
            priority=parsed.priority or 0,
            instruction=parsed.instruction or "",
        )
        return Asked(request, parsed.documents, JsonReader(parsed.rank_fields or ()))

    def encode(self, ranking: Ranking, exchange: Exchange) -> dict[str, Any]:
        """The answer with everything that some client's parser demands."""
        ranked = list(ranking)
        tokens = ranking.usage.prompt_tokens
        answer = {
            "id": exchange.id,
            "object": "rerank",
            "created": exchange.created,
            "model": ranking.model,
            "results": [_result(one, _as_object) for one in ranked],
            "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
            "meta": {
                "api_version": {"version": "2" if "/v2/" in exchange.path else "1"},
                "billed_units": {"search_units": math.ceil(ranking.documents / _DOCUMENTS_A_SEARCH_UNIT)},
                "tokens": {"input_tokens": tokens, "output_tokens": 0},
            },
        }
        if exchange.body.keys() <= _VOYAGE_KEYS:
            answer["data"] = [_result(one, _as_text) for one in ranked]
        return answer

    def encode_error(self, error: RerankError, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        """The error as each client looks for it."""
        status = error.http_status
        answer: dict[str, Any] = {"message": str(error), "detail": str(error)}
        # voyageai up to 0.4.1 fails on an error object while it builds its own exception
        if not {"top_k", "truncation"} & exchange.body.keys():
            answer["error"] = {
                "message": str(error),
                "type": _ERROR_TYPES.get(status, "server_error"),
                "param": error.field,
                "code": error.reason,
            }
        return status, answer


def _score_type(body: UnifiedBody) -> ScoreType:
    if body.score_type is not None:
        return ScoreType(body.score_type)
    return ScoreType.RAW if body.raw_scores or body.use_activation is False else ScoreType.PROBABILITY


class JsonReader:
    """Reads documents that are strings or objects."""

    def __init__(self, rank_fields: Sequence[str]) -> None:
        self._rank_fields = rank_fields

    def chars(self, raw: Any) -> int:
        """Of strings all; of an object those of the strings right in it, and of the JSON of all else."""
        if isinstance(raw, dict):
            return sum(len(part) if isinstance(part, str) else _json_chars(part) for part in raw.values())
        return len(raw) if isinstance(raw, str) else 0

    def read(self, raw: Any, field: str) -> Document:
        """The document."""
        if isinstance(raw, str):
            return Document(raw, raw, size=len(raw))
        if isinstance(raw, dict):
            text = object_text(raw, self._rank_fields, field=field)
            return Document(text, raw, size=self.chars(raw))
        raise InvalidRequest(f"{field} must be a string or an object", field=field, reason="wrong_type")


def _json_chars(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # nested too deeply, which reading it will say, or a number of more than 64 bits
        return 0


def _result(one: RankedDocument, shown: Callable[[Any], Any]) -> dict[str, Any]:
    """A result; without its document the key is absent, since null fails in litellm and Dify."""
    result = {"index": one.index, "relevance_score": one.relevance_score}
    return result if one.document is None else {**result, "document": shown(one.document)}


def _as_object(original: Any) -> dict[str, Any]:
    """A document as an object that has a string `text`, whatever was sent."""
    if isinstance(original, str):
        return {"text": original}
    return {**original, "text": _as_text(original)}


def _as_text(original: Any) -> str:
    """A document's own text, or the whole object as compact JSON where it has none."""
    if isinstance(original, str):
        return original
    text = original.get("text")
    return text if isinstance(text, str) else orjson.dumps(original).decode()


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"][:2])
    if first["type"] == "missing":
        return InvalidRequest(f"{field} is required", field=field, reason="missing")
    message = first["msg"].removeprefix("Input should be ")
    return InvalidRequest(f"{field} must be {message}", field=field, reason="invalid")


DIALECT = Unified()
