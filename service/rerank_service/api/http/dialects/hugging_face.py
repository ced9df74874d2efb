"""Elasticsearch's inference service `hugging_face`: rerank on `/hf/rerank`, with a bare list as its parser requires.

Source: Elasticsearch, x-pack/plugin/inference, services/huggingface: HuggingFaceRerankRequestEntity and
HuggingFaceRerankResponseEntity. Its releases name the documents `texts` or `documents`. Some parsers reject any key of
a result but `index`, `score` and `text`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.documents import JsonReader, as_text
from rerank_service.api.http.errors import STATUSES
from rerank_service.api.http.field_types import DOCUMENTS_SCHEMA, Flag, Limit, Text
from rerank_service.api.http.openapi_tags import ENGINES
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {"query": "capital of France", "texts": ["Rome is in Italy.", "Paris is in France."], "top_n": 1}
_NAMES = ("texts", "documents")


def _form(name: str, other: str) -> dict[str, Any]:
    """Return the schema of a body with the documents under one of the names."""
    return {"required": [name], "properties": {name: DOCUMENTS_SCHEMA, other: {"enum": [None, []]}}}


class HuggingFaceBody(JsonBody):
    """A request of Elasticsearch to a model of Hugging Face: with `texts` or with `documents`."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_form(*_NAMES), _form(*reversed(_NAMES))]})

    query: Text
    """The query. Must not be empty."""
    texts: Annotated[list[Any] | None, WithJsonSchema({"type": ["array", "null"]})] = None
    """The documents."""
    documents: Annotated[list[Any] | None, WithJsonSchema({"type": ["array", "null"]})] = None
    """Other name of `texts`."""
    top_n: Limit | None = None
    """Maximum number of results. Default, and 0: all."""
    return_text: Flag = None
    """If true, each result contains its text. Default: false."""
    return_documents: Flag = None
    """Other name of `return_text`."""
    max_chunks_per_doc: Limit | None = None
    """Maximum number of windows per document. Default, and 0: no limit."""


@documented
class HuggingFaceResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in the request, from 0."""
    score: float
    """The score, from 0 to 1. Higher is more relevant."""
    text: NotRequired[str]
    """The document. Present if `return_text` or `return_documents` is true."""


@documented
class HuggingFaceError(TypedDict):
    """An error."""

    error: str
    """The message."""


class HuggingFace:
    """The dialect of Elasticsearch's service `hugging_face`."""

    paths = ("/hf/rerank",)
    documented_paths = paths
    title = "Elasticsearch (hugging_face)"
    tag = ENGINES
    request_type = HuggingFaceBody
    response_type: Any = list[HuggingFaceResult]
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, HuggingFaceError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has this path
        """Return True: no other dialect has this path."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = HuggingFaceBody.read(body)
        if parsed.texts and parsed.documents:
            raise InvalidRequest("Set either texts or documents, not both.", field="documents")
        documents = getattr(parsed, _name(body))
        if documents is None:
            raise InvalidRequest("texts is required", field="texts", reason="missing")
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n,
            return_documents=bool(parsed.return_text or parsed.return_documents),
            max_chunks_per_doc=parsed.max_chunks_per_doc,
        )
        return DecodedRequest(request, documents, JsonReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:  # noqa: ARG002 - only the ranking matters
        """Return the response for a ranking."""
        results: list[HuggingFaceResult] = []
        for ranked in ranking:
            result: HuggingFaceResult = {"index": ranked.index, "score": ranked.relevance_score}
            if ranked.document is not None:
                result["text"] = as_text(ranked.document)
            results.append(result)
        return JsonResponse(results)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        message, _ = with_field_names(error, FieldNames(documents=_name(exchange.body)))
        body: HuggingFaceError = {"error": message}
        return JsonResponse(body, error.http_status)


def _name(body: Body) -> str:
    """Return the name of the documents in a body."""
    key = documents_key(body)
    return key if key in _NAMES else _NAMES[0]


DIALECT = HuggingFace()
