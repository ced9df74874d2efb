"""Attributes of the span of a request: OpenTelemetry's semantic conventions, and OpenInference's.

Rule: no attribute has a text of a caller, except those of `text_attributes`.
"""

from collections.abc import Iterator
from http import HTTPMethod

from opentelemetry.semconv.attributes import (
    client_attributes,
    error_attributes,
    http_attributes,
    url_attributes,
    user_agent_attributes,
)
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from rerank_service.error_text import excerpt
from rerank_service.observability.request_record import OTHER, RequestRecord, Texts

Attributes = dict[str, AttributeValue]

_OTHER = "_OTHER"
"""Value of the conventions for a method that the server does not know."""
_USER_AGENT_CHARS = 256
_METHODS = frozenset(HTTPMethod)
_SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
"""gRPC statuses that are errors of the server, by the conventions. Others are errors of the client."""


def span_name(record: RequestRecord) -> str:
    """Return the name of the span: method and route. It has no name that callers invent."""
    if record.protocol == "grpc":
        return "grpc" if record.route == OTHER else record.route
    method = record.method if record.method in _METHODS else "HTTP"
    return method if record.route == OTHER else f"{method} {record.route}"


def call_attributes(record: RequestRecord) -> Attributes:
    """Return the attributes that samplers may read."""
    return _grpc_call(record) if record.protocol == "grpc" else _http_call(record)


def _grpc_call(record: RequestRecord) -> Attributes:
    # the package on the index has these names in a module that may change in any release
    attributes: Attributes = {"rpc.system.name": "grpc", "rpc.method": record.route}
    if record.route == OTHER:
        attributes["rpc.method"] = _OTHER
    return attributes


def _http_call(record: RequestRecord) -> Attributes:
    attributes: Attributes = {
        http_attributes.HTTP_REQUEST_METHOD: record.method,
        url_attributes.URL_PATH: record.call,
        url_attributes.URL_SCHEME: record.scheme,
    }
    if record.method not in _METHODS:
        attributes |= {
            http_attributes.HTTP_REQUEST_METHOD: _OTHER,
            http_attributes.HTTP_REQUEST_METHOD_ORIGINAL: excerpt(record.method),
        }
    if record.route != OTHER:
        attributes[http_attributes.HTTP_ROUTE] = record.route
    return attributes


def result_attributes(record: RequestRecord, headers: dict[str, list[str]]) -> Attributes:
    """Return the attributes that are known at the end of a request. `headers` are those of the request."""
    status = "rpc.response.status_code" if record.protocol == "grpc" else http_attributes.HTTP_RESPONSE_STATUS_CODE
    attributes: Attributes = {status: record.status, "rerank.request.id": record.id}
    optional = {
        client_attributes.CLIENT_ADDRESS: record.client,
        user_agent_attributes.USER_AGENT_ORIGINAL: headers.get("user-agent", [""])[0][:_USER_AGENT_CHARS],
        error_attributes.ERROR_TYPE: error_type(record),
        "rerank.dialect": record.dialect,
        "rerank.key": record.key,
    }
    attributes |= {name: value for name, value in optional.items() if value}
    return attributes | (_ranking_attributes(record) if record.is_ranking else {})


def _ranking_attributes(record: RequestRecord) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "rerank-service",
        "openinference.span.kind": "RERANKER",
        "rerank.documents": record.documents,
    }
    if record.asked_model:
        attributes["gen_ai.request.model"] = record.asked_model
    if record.ranked:
        attributes |= {
            "gen_ai.response.model": record.model,
            "gen_ai.usage.input_tokens": record.tokens,
            "reranker.model_name": record.model,
        }
    if record.top_n is not None:
        attributes["reranker.top_k"] = record.top_n
    return attributes


def text_attributes(texts: Texts) -> Attributes:
    """Return query, documents and results in the names of OpenInference."""
    return {"reranker.query": texts.query, **dict(_input_documents(texts)), **dict(_output_documents(texts))}


def _input_documents(texts: Texts) -> Iterator[tuple[str, AttributeValue]]:
    for number, text in enumerate(texts.documents):
        yield f"reranker.input_documents.{number}.document.content", text


def _output_documents(texts: Texts) -> Iterator[tuple[str, AttributeValue]]:
    for rank, result in enumerate(texts.results):
        prefix = f"reranker.output_documents.{rank}.document"
        yield f"{prefix}.id", str(result.index) if result.id is None else result.id
        yield f"{prefix}.score", result.score
        if result.index < len(texts.documents):
            yield f"{prefix}.content", texts.documents[result.index]


def error_type(record: RequestRecord) -> str:
    """Return the reason of the error: an identifier, the class of an unexpected exception, or else the status. Empty
    without an error."""
    if record.failure is None:
        return str(record.status) if record.is_error else ""
    unexpected = record.failure.unexpected
    return record.failure.reason if unexpected is None else type(unexpected).__qualname__


def span_status(record: RequestRecord) -> Status:
    """Return the status: an error of the server is an error, an error of the client is none."""
    status = record.status
    failed = status in _SERVER_ERRORS if isinstance(status, str) else status >= 500
    if not failed:
        return Status(StatusCode.UNSET)
    return Status(StatusCode.ERROR, record.failure.message if record.failure is not None else None)
