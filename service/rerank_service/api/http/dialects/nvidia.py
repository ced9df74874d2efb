"""Bodies with `passages`: NVIDIA's NIM, on its own paths and wherever RAGFlow and litellm put it."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.http.body import Count, JsonBody, Text
from rerank_service.api.http.dialects import RERANKING_PATHS, Answer, Body, DecodedRequest, Exchange
from rerank_service.api.http.documents import refuse_media
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.text_reader import TextReader
from rerank_service.errors import RequestError
from rerank_service.ranking.document import Document, SentDocument
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

_HOSTED = ("nv-rerankqa-mistral-4b-v3", "llama-3_2-nv-rerankqa-1b-v2", "llama-3_2-nemoretriever-500m-rerank-v2")
"""Models that NVIDIA's own service has on paths of their own."""
_TOO_LONG = {None: TooLong.WINDOWS, "NONE": TooLong.REFUSE, "END": TooLong.CUT}
_EXAMPLE: Body = {
    "query": {"text": "capital of France"},
    "passages": [{"text": "Rome is in Italy."}, {"text": "Paris is in France."}],
}
_PASSAGE = {
    "anyOf": [
        {"type": "object", "properties": {"text": {"type": "string"}, "image": False}, "required": ["text"]},
        {"type": "string"},
    ]
}


class NvidiaBody(JsonBody):
    """A query and its passages."""

    query: Text
    """The query, as `{"text": query}`."""
    passages: Annotated[list[Any], WithJsonSchema({"type": "array", "items": _PASSAGE, "minItems": 1})]
    """What is ranked, each as `{"text": passage}`."""
    truncate: Literal["NONE", "END"] | None = None
    """What becomes of a passage that is too long for the model: END cuts it, NONE refuses it; absent, all of it is
    ranked."""
    top_n: Count | None = None
    """How many results to return, as RAGFlow sends it; all of them when absent."""


class NvidiaRank(TypedDict):
    """A ranked passage."""

    index: int
    logit: float


class NvidiaAnswer(TypedDict):
    """The ranking."""

    rankings: list[NvidiaRank]
    usage: Usage


class NvidiaError(ErrorBody):
    """An error; langchain-nvidia shows `status`, `title` and `detail`."""

    status: int
    title: str


class Nvidia:
    """The dialect."""

    paths = (
        "/v1/ranking",
        "/ranking",
        *RERANKING_PATHS,
        "/v1/retrieval/nvidia/reranking",
        *(f"{base}/{name}/reranking" for base in ("", "/v1", "/v1/retrieval/nvidia") for name in _HOSTED),
    )
    shown = ("/v1/ranking",)
    request = NvidiaBody
    response: Any = NvidiaAnswer
    errors: Mapping[int, Any] = dict.fromkeys(STATUSES, NvidiaError)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:
        """By `passages`, where there are no `documents`."""
        return "passages" in body and "documents" not in body

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and passages."""
        parsed = NvidiaBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n,
            too_long=_TOO_LONG[parsed.truncate],
            score_type=ScoreType.RAW,
        )
        return DecodedRequest(request, parsed.passages, _PassageReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:  # noqa: ARG002 - told by the ranking alone
        """The logits."""
        ranks: list[NvidiaRank] = [{"index": one.index, "logit": one.logit} for one in ranking]
        answer: NvidiaAnswer = {"rankings": ranks, "usage": usage(ranking)}
        return Answer(answer)

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The error."""
        status = error.http_status
        body: NvidiaError = {
            **error_body(error, exchange.body, documents="passages"),
            "status": status,
            "title": HTTPStatus(status).phrase,
        }
        return Answer(body, status)


class _PassageReader(TextReader):
    """Reads passages: `{"text": passage}`, or strings. Their pictures stand beside their texts."""

    def chars(self, raw: Any) -> int:
        """Of the text."""
        return super().chars(_unwrapped(raw))

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document of a passage."""
        if isinstance(sent.raw, dict):
            refuse_media(sent.raw, field, text_beside=True)
        return super().read(replace(sent, raw=_unwrapped(sent.raw)), field)


def _unwrapped(raw: Any) -> Any:
    return raw.get("text") if isinstance(raw, dict) else raw


DIALECT = Nvidia()
