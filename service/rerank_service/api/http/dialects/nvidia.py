"""NVIDIA NIM: bodies with `passages`, on its own paths and on those that RAGFlow and litellm append.

A response contains logits, not probabilities.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.paths import PATH_MODEL, RERANKING_PATHS
from rerank_service.api.http.documents import reject_media
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.field_types import Limit, Text
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.text_reader import TextReader
from rerank_service.errors import RequestError
from rerank_service.ranking.document import Document, SentDocument, TextLength
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

_HOSTED = ("nv-rerankqa-mistral-4b-v3", "llama-3_2-nv-rerankqa-1b-v2", "llama-3_2-nemoretriever-500m-rerank-v2")
"""Models that have their own paths in NVIDIA's hosted service."""
_TOO_LONG = {None: TooLong.WINDOWS, "NONE": TooLong.REFUSE, "END": TooLong.CUT}
_EXAMPLE: Body = {
    "query": {"text": "capital of France"},
    "passages": [{"text": "Rome is in Italy."}, {"text": "Paris is in France."}],
}
_PASSAGE = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"text": {"type": "string"}, "image": {"enum": [None, ""]}},
            "required": ["text"],
        },
        {"type": "string"},
    ]
}


class NvidiaBody(JsonBody):
    """A request of NVIDIA."""

    query: Text
    """The query: `{"text": query}`, or a string. Must not be empty."""
    passages: Annotated[list[Any], WithJsonSchema({"type": "array", "items": _PASSAGE, "minItems": 1})]
    """The documents: each is `{"text": passage}`, or a string."""
    truncate: Literal["NONE", "END", ""] | None = None
    """Treatment of a passage that exceeds the model's token limit: "END" cuts it, "NONE" makes it an error. Default:
    it is scored in windows."""
    top_n: Limit | None = None
    """Maximum number of results. Default, and 0: all. Sent by RAGFlow."""
    top_k: Limit | None = None
    """Other name of `top_n`, sent by litellm. A `top_n` above 0 overrides it."""


@documented
class NvidiaRank(TypedDict):
    """A ranked passage."""

    index: int
    """Position in `passages`, from 0."""
    logit: float
    """The raw output of the model. Higher is more relevant."""


@documented
class NvidiaResponse(TypedDict):
    """The ranking."""

    rankings: list[NvidiaRank]
    """The ranked passages, the most relevant first."""
    usage: Usage


@documented
class NvidiaError(ErrorBody):
    """An error. langchain-nvidia shows `status`, `title` and `detail`."""

    status: int
    """The HTTP status."""
    title: str
    """Name of the HTTP status, such as `Bad Request`."""


class Nvidia:
    """The NVIDIA dialect."""

    paths = (
        "/v1/ranking",
        "/ranking",
        *RERANKING_PATHS,
        "/v1/retrieval/nvidia/reranking",
        *(f"{base}/{name}/reranking" for base in ("", "/v1", "/v1/retrieval/nvidia") for name in _HOSTED),
        f"/v1/retrieval/{PATH_MODEL}/reranking",
    )
    documented_paths = ("/v1/ranking",)
    title = "NVIDIA NIM"
    tag = HOSTED
    request_type = NvidiaBody
    response_type: Any = NvidiaResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, NvidiaError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the documents of the body are `passages`."""
        return documents_key(body) == "passages"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = NvidiaBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n or parsed.top_k,
            too_long=_TOO_LONG[parsed.truncate or None],
            score_type=ScoreType.RAW,
        )
        return DecodedRequest(request, parsed.passages, _PassageReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:  # noqa: ARG002 - only the ranking matters
        """Return the response for a ranking."""
        ranks: list[NvidiaRank] = [{"index": ranked.index, "logit": ranked.logit} for ranked in ranking]
        response: NvidiaResponse = {"rankings": ranks, "usage": usage(ranking)}
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        status = error.http_status
        body: NvidiaError = {
            **error_body(error, exchange.body, FieldNames(documents="passages")),
            "status": status,
            "title": HTTPStatus(status).phrase,
        }
        return JsonResponse(body, status)


class _PassageReader(TextReader):
    """Reads passages: `{"text": passage}`, or strings. Rejects a passage that has an image, also beside a text."""

    def length(self, raw: Any) -> TextLength:
        """Return the length of the text."""
        return super().length(_unwrapped(raw))

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document of a passage.

        Raises:
            InvalidRequest: the text is not a string, or the passage has an image. The error names `field`.
        """
        if isinstance(sent.raw, dict):
            reject_media(sent.raw, field, with_text=True)
        return super().read(sent._replace(raw=_unwrapped(sent.raw)), field)


def _unwrapped(raw: Any) -> Any:
    return raw.get("text") if isinstance(raw, dict) else raw


DIALECT = Nvidia()
