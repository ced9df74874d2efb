"""Bodies with `texts`: Text Embeddings Inference.

Source: its router/src/http. All texts come back, as a bare list; errors and their statuses are its own.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

import rerank_service
from rerank_service.api.http.body import Flag, JsonBody
from rerank_service.api.http.dialects import (
    RERANK_PATHS,
    RERANKING_PATHS,
    Answer,
    Body,
    DecodedRequest,
    Exchange,
    LookUp,
    ServerFacts,
)
from rerank_service.api.http.errors import STATUSES, told
from rerank_service.api.tei_metadata import cost_headers, dtype
from rerank_service.api.text_reader import TextReader
from rerank_service.engine.host import usable_cores
from rerank_service.errors import (
    BodyTooLarge,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    RequestError,
    UnknownRoute,
)
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

ErrorType = Literal["Empty", "Validation", "Tokenizer", "Overloaded", "Backend", "Unhealthy"]
_EXAMPLE: Body = {"query": "capital of France", "texts": ["Rome is in Italy.", "Paris is in France."]}


class TeiBody(JsonBody):
    """A query and its texts."""

    query: Annotated[str, WithJsonSchema({"type": "string", "minLength": 1})]
    """The query."""
    texts: Annotated[list[str], WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1})]
    """What is ranked."""
    truncate: Flag = None
    """Whether a text that is too long is cut at the model's length, as it is by default; false makes it an error."""
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    """Which end is cut off."""
    raw_scores: Flag = None
    """Give logits instead of probabilities."""
    return_text: Flag = None
    """Whether each rank carries its text."""


class Rank(TypedDict):
    """A ranked text."""

    index: int
    text: NotRequired[str]
    score: float


class TeiError(TypedDict):
    """An error."""

    error: str
    error_type: ErrorType


class Tei:
    """The dialect."""

    paths = (*RERANK_PATHS, *RERANKING_PATHS, "/", "/invocations")
    shown = ("/rerank",)
    request = TeiBody
    response: Any = list[Rank]
    errors: Mapping[int, Any] = dict.fromkeys((*STATUSES, 422, 424), TeiError)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:
        """By `texts`, where there are no `documents`."""
        return "texts" in body and "documents" not in body

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and texts."""
        parsed = TeiBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            return_documents=bool(parsed.return_text),
            too_long=TooLong.REFUSE if parsed.truncate is False else TooLong.CUT,
            cut_side=CutSide((parsed.truncation_direction or "right").lower()),
            score_type=ScoreType.RAW if parsed.raw_scores else ScoreType.PROBABILITY,
        )
        return DecodedRequest(request, parsed.texts, TextReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The ranks, and headers that say what they cost."""
        ranks: list[Rank] = []
        for one in ranking:
            rank: Rank = {"index": one.index, "score": one.relevance_score}
            if one.document is not None:
                rank["text"] = one.document
            ranks.append(rank)
        return Answer(ranks, headers=_cost(ranking, exchange.body))

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:  # noqa: ARG002 - told by the error alone
        """The error, by TEI's words and statuses."""
        status, error_type = _kind(error)
        body: TeiError = {"error": told(error, "texts")[0], "error_type": error_type}
        return Answer(body, status)


def _kind(error: RequestError) -> tuple[int, ErrorType]:
    """The status and the word for it. An input that is wrong is 422, an empty one 400, a failing model 424."""
    match error:
        case BodyTooLarge() | UnknownRoute():
            return error.http_status, "Validation"
        case InvalidRequest():
            return (400, "Empty") if error.reason.startswith("empty_") else (422, "Validation")
        case InferenceFailed():
            return 424, "Backend"
        case Overloaded():
            return error.http_status, "Overloaded"
        case NotReady():
            return error.http_status, "Unhealthy"
        case _:
            return error.http_status, "Backend" if error.http_status >= 500 else "Validation"


def _cost(ranking: Ranking, body: Body) -> dict[str, str]:
    texts = cast("list[str]", body["texts"])
    chars = sum(map(len, texts)) + len(texts) * len(body["query"])
    return cost_headers(chars, ranking.usage.prompt_tokens, ranking.timing)


class Info(TypedDict):
    """What TEI tells of itself. Dify's plugin demands that the first key of `model_type` is `reranker`."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: None
    docker_label: None


def _info(server: ServerFacts, _: str) -> Answer:
    model = server.find("")
    answer: Info = {
        "model_id": model.name,
        "model_sha": model.revision or None,
        "model_dtype": dtype(model.precision),
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": server.limits.max_documents,
        "max_input_length": model.max_tokens,
        "max_batch_tokens": model.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": server.limits.max_documents,
        "auto_truncate": True,
        "tokenization_workers": usable_cores(),
        "version": rerank_service.__version__,
        "sha": None,
        "docker_label": None,
    }
    return Answer(answer)


def _health(server: ServerFacts, _: str) -> Answer:
    if server.ready:
        return Answer({"status": "ready"})
    unhealthy: TeiError = {"error": "unhealthy", "error_type": "Unhealthy"}
    return Answer(unhealthy, 503, {"retry-after": "1"})


class Health(TypedDict):
    """All is well."""

    status: Literal["ready"]


DIALECT = Tei()
LOOK_UPS = (
    LookUp("/info", _info, Info, "The model and the limits, as TEI tells them"),
    LookUp(
        "/health", _health, Health, "Whether requests should come here, as TEI tells it", {503: TeiError}, public=True
    ),
    LookUp("/ping", _health, Health, "The same for SageMaker", {503: TeiError}, public=True),
)
