"""Pinecone's inference: the unified dialect on `/rerank`, with `data`, `score` and `usage.rerank_units`.

Source: pinecone for Python, client/inference.py and models/inference/rerank.py. Its client always sends objects,
`rank_fields` and `return_documents`. Other clients may send the same keys, so the response has the unified keys too.
Other callers may leave both out, for Pinecone's defaults. Such a body can be recognized by `parameters` only.
"""

from dataclasses import replace
from typing import Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from rerank_service.api.http.body import CONFIG, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.paths import SHARED_PATH
from rerank_service.api.http.dialects.unified import Unified, UnifiedBody, UnifiedResponse
from rerank_service.api.http.field_types import Flag, Limit, Strings, ranked_by_fields
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.api.http.usage import Usage
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import TooLong

_SENT_BY_CLIENT = {"rank_fields", "return_documents"}
_KEYS = {"query", "documents", "model", "top_n", "parameters", *_SENT_BY_CLIENT}
_DEFAULT_RANK_FIELDS = ["text"]
"""Pinecone's default of `rank_fields`."""
_TOO_LONG = {"NONE": TooLong.REFUSE, "END": TooLong.CUT}
_EXAMPLE: Body = {
    "model": "default",
    "query": "capital of France",
    "documents": [{"id": "1", "text": "Rome is in Italy."}, {"id": "2", "text": "Paris is in France."}],
    "rank_fields": ["text"],
    "return_documents": True,
    "parameters": {"truncate": "END"},
}


_RANKED_BY_FIELDS = ranked_by_fields("documents")
_HAS_PARAMETERS = {"required": ["parameters"], "properties": {"parameters": {"type": "object"}}}
_SCHEMA = {**_RANKED_BY_FIELDS, "if": {"anyOf": [_RANKED_BY_FIELDS["if"], _HAS_PARAMETERS]}}
"""With `parameters`, objects are ranked by `text`, so each object must have it."""


class PineconeParameters(BaseModel):
    """Parameters of the model."""

    model_config = CONFIG

    truncate: Literal["NONE", "END", ""] | None = None
    """Treatment of a document that exceeds the model's token limit: "END" cuts it, "NONE" makes it an error. Default:
    it is scored in windows."""
    max_chunks_per_doc: Limit | None = None
    """Maximum number of windows per document. Default, and 0: no limit."""


class PineconeBody(UnifiedBody):  # type: ignore[no-redef]  # pydantic's plugin reserves the name kwargs
    """A request of Pinecone."""

    model_config = ConfigDict(json_schema_extra=_SCHEMA)

    rank_fields: Strings | None = None
    """The fields of objects that are ranked, in this order. Default, and if empty: `["text"]` beside `parameters`, else
    all fields."""
    return_documents: Flag = None
    """If true, each result contains its document. Default: true beside `parameters`, else false."""
    parameters: PineconeParameters | None = None
    """Parameters of the model."""


@documented
class PineconeResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `documents`, from 0."""
    score: float
    """The score, from 0 to 1. Higher is more relevant."""
    document: NotRequired[dict[str, Any]]
    """The document. Present if `return_documents` is true."""


@documented
class PineconeUsage(Usage):
    """Usage, with the count of Pinecone."""

    rerank_units: int
    """Documents / 100, rounded up. A long document counts as its windows."""


@documented
class PineconeResponse(UnifiedResponse):
    """The ranking."""

    data: list[PineconeResult]  # type: ignore[misc]  # Pinecone's form, not Voyage's
    """The ranked documents, the most relevant first."""
    usage: PineconeUsage  # type: ignore[misc]  # with one more field


class Pinecone(Unified):
    """The Pinecone dialect."""

    paths = (SHARED_PATH,)
    documented_paths = paths
    title = "Pinecone"
    tag = RERANK
    request_type = PineconeBody
    response_type: Any = PineconeResponse
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the body has the keys of Pinecone's clients or `parameters`, and its documents are objects."""
        marked = body.keys() >= _SENT_BY_CLIENT or isinstance(body.get("parameters"), dict)
        if not (marked and body.keys() <= _KEYS and documents_key(body) == "documents"):
            return False
        documents = body["documents"]
        return isinstance(documents, list) and all(isinstance(raw, dict) for raw in documents)

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parameters = PineconeBody.read(body).parameters or PineconeParameters()
        decoded = super().decode(_with_defaults(body))
        request = decoded.request
        too_long = _TOO_LONG.get(parameters.truncate or "", request.too_long)
        request = replace(request, too_long=too_long, max_chunks_per_doc=parameters.max_chunks_per_doc)
        return replace(decoded, request=request)

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        response = super().encode(ranking, exchange)
        data: list[PineconeResult] = []
        for ranked in ranking:
            result: PineconeResult = {"index": ranked.index, "score": ranked.relevance_score}
            if ranked.document is not None:
                result["document"] = {"text": ranked.document} if isinstance(ranked.document, str) else ranked.document
            data.append(result)
        units = response.content["meta"]["billed_units"]["search_units"]
        usage = {**response.content["usage"], "rerank_units": units}
        return replace(response, content={**response.content, "data": data, "usage": usage})


def _with_defaults(body: Body) -> Body:
    """Return the body with Pinecone's defaults, if it has `parameters`: no other service has them beside objects."""
    if body.get("parameters") is None:
        return body
    rank_fields, returned = body.get("rank_fields"), body.get("return_documents")
    return {
        **body,
        "rank_fields": _DEFAULT_RANK_FIELDS if rank_fields in (None, []) else rank_fields,
        "return_documents": True if returned is None else returned,
    }


DIALECT = Pinecone()
