"""Text Embeddings Inference (TEI): bodies with `texts`.

Source: TEI, router/src/http. A response is a bare list of all texts. Errors have TEI's types and statuses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

import rerank_service
from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.paths import INVOCATIONS_PATH, RERANK_PATHS, RERANKING_PATHS, SHARED_PATH
from rerank_service.api.http.errors import STATUSES
from rerank_service.api.http.field_types import QUERY_SCHEMA, TEXTS_SCHEMA, Flag, Strings
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.api.tei_metadata import cost_headers, dtype
from rerank_service.api.text_reader import TextReader
from rerank_service.engine.host import usable_cores
from rerank_service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    RateLimited,
    RequestError,
    UnknownRoute,
    UnsupportedCoding,
)
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

ErrorType = Literal["Empty", "Validation", "Tokenizer", "Overloaded", "Backend", "Unhealthy"]
_EXAMPLE: Body = {"query": "capital of France", "texts": ["Rome is in Italy.", "Paris is in France."]}


class TeiBody(JsonBody):
    """A request of TEI."""

    query: Annotated[str, WithJsonSchema(QUERY_SCHEMA)]
    """The query. Must not be empty."""
    texts: Annotated[Strings, WithJsonSchema(TEXTS_SCHEMA)]
    """The texts that are ranked."""
    truncate: Flag = None
    """If true, a text that exceeds the model's token limit is cut. If false, it is an error. Default: true."""
    truncation_direction: Literal["Left", "Right", "left", "right", ""] | None = None
    """The end of a text that a cut removes. Default, and "": "Right"."""
    raw_scores: Flag = None
    """If true, scores are logits. If false, they are probabilities. Default: false."""
    return_text: Flag = None
    """If true, each result contains its text. Default: false."""


@documented
class Rank(TypedDict):
    """A ranked text."""

    index: int
    """Position in `texts`, from 0."""
    text: NotRequired[str]
    """The text. Present if `return_text` is true."""
    score: float
    """The score. Higher is more relevant."""


@documented
class TeiError(TypedDict):
    """An error."""

    error: str
    """The message."""
    error_type: ErrorType
    """Class of the error."""


class Tei:
    """The TEI dialect."""

    paths = (*RERANK_PATHS, *RERANKING_PATHS, "/", INVOCATIONS_PATH)
    documented_paths = (SHARED_PATH,)
    title = "TEI"
    tag = RERANK
    request_type = TeiBody
    response_type: Any = list[Rank]
    error_types: Mapping[int, Any] = dict.fromkeys((*STATUSES, 422, 424), TeiError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the documents of the body are `texts`."""
        return documents_key(body) == "texts"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
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

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking, with TEI's headers for size and duration."""
        ranks: list[Rank] = []
        for ranked in ranking:
            rank: Rank = {"index": ranked.index, "score": ranked.relevance_score}
            if ranked.document is not None:
                rank["text"] = ranked.document
            ranks.append(rank)
        return JsonResponse(ranks, headers=_cost(ranking, exchange.body))

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:  # noqa: ARG002 - only the error matters
        """Return the response for an error, with TEI's status and type."""
        status, error_type = _status_and_type(error)
        message, _ = with_field_names(error, FieldNames(documents="texts"))
        body: TeiError = {"error": message, "error_type": error_type}
        return JsonResponse(body, status)


def _status_and_type(error: RequestError) -> tuple[int, ErrorType]:
    """Return TEI's HTTP status and type of an error: invalid input is 422, empty input 400, a failed model 424."""
    match error:
        case BodyTooLarge() | BodyTooSlow() | UnsupportedCoding() | UnknownRoute():
            return error.http_status, "Validation"
        case InvalidRequest():
            return (400, "Empty") if error.reason.startswith("empty_") else (422, "Validation")
        case InferenceFailed():
            return 424, "Backend"
        case Overloaded() | RateLimited():
            return error.http_status, "Overloaded"
        case NotReady():
            return error.http_status, "Unhealthy"
        case _:
            return error.http_status, "Backend" if error.http_status >= 500 else "Validation"


def _cost(ranking: Ranking, body: Body) -> dict[str, str]:
    texts = cast("list[str]", body["texts"])
    chars = sum(map(len, texts)) + len(texts) * len(body["query"])
    return cost_headers(chars, ranking.usage.prompt_tokens, ranking.timing)


@documented
class Info(TypedDict):
    """The served model and the limits of the server. Dify's plugin requires `reranker` as first key of `model_type`."""

    model_id: str
    """Name of the model."""
    model_sha: str | None
    """Revision of the model's source, if it has one."""
    model_dtype: str
    """Number format of the computation, such as "float32"."""
    model_type: dict[str, Any]
    max_concurrent_requests: int
    """Maximum number of texts in one request."""
    max_input_length: int
    """Token limit of the model, for query and text together."""
    max_batch_tokens: int
    """Maximum number of padded tokens in one batch."""
    max_batch_requests: None
    max_client_batch_size: int
    """Maximum number of texts in one request."""
    auto_truncate: bool
    """Always true: `truncate` is true by default."""
    tokenization_workers: int
    """Number of usable CPU cores."""
    version: str
    """Version of this server."""
    sha: None
    docker_label: None


def _info(server: ServerFacts, _: str) -> JsonResponse:
    model = server.find("")
    info: Info = {
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
    return JsonResponse(info)


def _health(server: ServerFacts, _: str) -> JsonResponse:
    if server.ready:
        return JsonResponse({"status": "ready"})
    unhealthy: TeiError = {"error": "unhealthy", "error_type": "Unhealthy"}
    return JsonResponse(unhealthy, 503, {"retry-after": "1"})


@documented
class Health(TypedDict):
    """The server is ready."""

    status: Literal["ready"]


DIALECT = Tei()
LOOK_UPS = (
    LookUp(path="/info", respond=_info, response_type=Info, summary="Describe the model and the limits, as TEI does"),
    LookUp(
        path="/health",
        respond=_health,
        response_type=Health,
        summary="Report readiness, as TEI does",
        error_types={503: TeiError},
        public=True,
        is_health_check=True,
    ),
    LookUp(
        path="/ping",
        respond=_health,
        response_type=Health,
        summary="Report readiness, for SageMaker",
        error_types={503: TeiError},
        public=True,
        is_health_check=True,
    ),
)
