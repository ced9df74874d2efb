"""Amazon Bedrock's Rerank: bodies with `sources`, on `/rerank`.

Source: botocore, data/bedrock-agent-runtime/2023-07-26/service-2.json, "Rerank". AWS SDKs, litellm and OpenSearch's
connectors use this dialect. A response has all results, so it has no `nextToken`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.aws_errors import AWS_ERROR_TYPES, aws_error, aws_headers
from rerank_service.api.http.body import CONFIG, JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.paths import SHARED_PATH
from rerank_service.api.http.documents import JsonReader
from rerank_service.api.http.field_types import Limit, Text, only
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.error_text import excerpt
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.ranking.document import Document, SentDocument, TextLength
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {
    "queries": [{"type": "TEXT", "textQuery": {"text": "capital of France"}}],
    "sources": [
        {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": "Rome is in Italy."}}},
        {"type": "INLINE", "inlineDocumentSource": {"type": "JSON", "jsonDocument": {"city": "Paris"}}},
    ],
    "rerankingConfiguration": {
        "type": "BEDROCK_RERANKING_MODEL",
        "bedrockRerankingConfiguration": {"numberOfResults": 1, "modelConfiguration": {"modelArn": "default"}},
    },
}
_TEXT_SOURCE = {
    "properties": {
        "type": {"const": "TEXT"},
        "textDocument": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
    "required": ["type", "textDocument"],
}
_JSON_SOURCE = {
    "properties": {
        "type": {"const": "JSON"},
        "jsonDocument": {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "minProperties": 1, "not": {"additionalProperties": {"type": "null"}}},
            ]
        },
    },
    "required": ["type", "jsonDocument"],
}
_SOURCES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {"inlineDocumentSource": {"type": "object", "anyOf": [_TEXT_SOURCE, _JSON_SOURCE]}},
        "required": ["inlineDocumentSource"],
    },
}
_NAMES = FieldNames(documents="sources", query="queries[0].textQuery.text")
_FORM = '{"inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": …}}}'


class BedrockQuery(BaseModel):
    """The query."""

    model_config = CONFIG

    text_query: Text = Field(alias="textQuery")
    """The query: `{"text": query}`. Must not be empty."""


class BedrockModelFields(BaseModel):
    """Fields of a model of Cohere."""

    model_config = ConfigDict(**{**CONFIG, "extra": "forbid"})

    max_tokens_per_doc: Limit | None = None
    """Maximum number of tokens per document. A longer document is cut. Default, and 0: the limit of the server."""


def _supported(fields: Any) -> Any:
    names = fields if isinstance(fields, dict) else ()
    unknown = next((name for name in names if name not in BedrockModelFields.model_fields), None)
    if unknown is not None:
        name = f"additionalModelRequestFields.{excerpt(unknown)}"
        raise InvalidRequest(
            f"{name} is not supported: leave it out. Supported: {', '.join(BedrockModelFields.model_fields)}",
            field=name,
            reason="unsupported",
        )
    return fields


class BedrockModel(BaseModel):
    """The model."""

    model_config = CONFIG

    arn: str | None = Field(default=None, alias="modelArn")
    """Name or alias of a model, or an ARN that ends in one: `arn:aws:bedrock:REGION::foundation-model/NAME`."""
    fields: Annotated[BedrockModelFields | None, BeforeValidator(_supported)] = Field(
        default=None, alias="additionalModelRequestFields"
    )
    """Further fields of the model."""


class BedrockOptions(BaseModel):
    """Options of the ranking."""

    model_config = CONFIG

    number_of_results: Limit | None = Field(default=None, alias="numberOfResults")
    """Maximum number of results. Default, and 0: all."""
    model: BedrockModel | None = Field(default=None, alias="modelConfiguration")
    """The model. Default: the served model."""


class BedrockConfiguration(BaseModel):
    """Configuration of the ranking."""

    model_config = CONFIG

    options: BedrockOptions | None = Field(default=None, alias="bedrockRerankingConfiguration")
    """Options of the ranking."""


class BedrockBody(JsonBody):
    """A request of Bedrock."""

    queries: list[BedrockQuery] = Field(fail_fast=True, json_schema_extra={"minItems": 1, "maxItems": 1})
    """The query."""
    sources: Annotated[list[Any], WithJsonSchema(_SOURCES)]
    """The documents: texts, or objects whose fields are ranked in their order."""
    configuration: BedrockConfiguration | None = Field(default=None, alias="rerankingConfiguration")
    """Model and options of the ranking."""
    next_token: Annotated[
        Literal[""] | None,
        only("", name="nextToken", rule="is not supported: leave it out. Each response has all results"),
    ] = Field(default=None, alias="nextToken")
    """Not supported: must be absent, null or "". Each response has all results."""


@documented
class BedrockResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `sources`, from 0."""
    relevanceScore: float
    """The score, from 0 to 1. Higher is more relevant."""


@documented
class BedrockResponse(TypedDict):
    """The ranking."""

    results: list[BedrockResult]
    """The ranked documents, the most relevant first."""


class Bedrock:
    """The dialect of Bedrock's Rerank."""

    paths = (SHARED_PATH,)
    documented_paths = paths
    title = "Amazon Bedrock (Rerank)"
    tag = RERANK
    request_type = BedrockBody
    response_type: Any = BedrockResponse
    error_types: Mapping[int, Any] = AWS_ERROR_TYPES
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the documents of the body are `sources`."""
        return documents_key(body) == "sources"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = BedrockBody.read(body)
        if len(parsed.queries) != 1:
            raise InvalidRequest(f"queries must have one query, not {len(parsed.queries)}", field="queries")
        options = (parsed.configuration and parsed.configuration.options) or BedrockOptions()
        model = options.model or BedrockModel()
        fields = model.fields or BedrockModelFields()
        request = RerankRequest(
            query=parsed.queries[0].text_query,
            model=model_of_arn(model.arn or parsed.model or ""),
            top_n=options.number_of_results,
            max_tokens_per_doc=fields.max_tokens_per_doc,
        )
        return DecodedRequest(request, parsed.sources, _SourceReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        response: BedrockResponse = {
            "results": [{"index": ranked.index, "relevanceScore": ranked.relevance_score} for ranked in ranking]
        }
        return JsonResponse(response, headers=aws_headers(exchange))

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        return aws_error(error, exchange, _NAMES)


def model_of_arn(name: str) -> str:
    """Return the name of the model in an ARN; any other name unchanged, also an ARN without a name: no model has it."""
    return (name.startswith("arn:") and name.partition("/")[2]) or name


class _SourceReader(JsonReader):
    """Reads sources: texts and JSON documents."""

    def length(self, raw: Any) -> TextLength:
        """Return the length of a document."""
        return super().length(_unwrapped(raw))

    def items(self, raw: Any) -> int:
        """Return about the number of values of a JSON document that are looked at."""
        return super().items(_unwrapped(raw))

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document of a source.

        Raises:
            InvalidRequest: the source has no text and no JSON document. The error names `field`.
        """
        document = _unwrapped(sent.raw)
        if document is None:
            raise InvalidRequest(f"{field} must have the form {_FORM}", field=field, reason="wrong_type")
        return super().read(sent._replace(raw=document), field)


def _unwrapped(raw: Any) -> Any:
    """Return the text or the JSON document of a source; None if the source has neither."""
    inline = raw.get("inlineDocumentSource") if isinstance(raw, dict) else None
    match inline:
        case {"type": "TEXT", "textDocument": {"text": str(text)}}:
            return text
        case {"type": "JSON", "jsonDocument": document}:
            return document
    return None


DIALECT = Bedrock()
