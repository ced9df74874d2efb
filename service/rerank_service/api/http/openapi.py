"""OpenAPI page: requests, responses and errors of every dialect on its paths.

The page is built at its first request, so that it does not delay the start of the server.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from starlette.requests import Request
from starlette.responses import Response

import rerank_service
from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.paths import PATH_MODEL, shown_path
from rerank_service.api.http.errors import ErrorBody
from rerank_service.api.http.json_parts import dump_json
from rerank_service.api.http.liveness import LIVE
from rerank_service.api.http.openapi_tags import HEALTH, MODELS, TAGS
from rerank_service.ranking.scores import ScoreType

TITLE = "rerank-service"
_DESCRIPTION = (
    "Ranks documents by their relevance to a query. The keys of a body select its dialect: unified (Cohere v1 and v2, "
    "Together, Jina, Voyage, vLLM and similar services), TEI, mixedbread, NVIDIA, Pinecone, Weaviate, Amazon Bedrock "
    "and others."
)
_HEALTH_CHECKS = {
    LIVE: ("live", "Report liveness: 200 while the process runs"),
    "/health/ready": ("readiness", "Report readiness: 200 if the server accepts requests, else 503"),
}
"""Name and summary of each check, by path."""
_HEADERS = (
    "Optional headers: `X-Request-Timeout` is the deadline of the request in seconds. Empty or 0: the default of the "
    "server. `X-Request-Id` is its id in the response and in the log, at most 128 characters. The API key is in "
    "`Authorization: Bearer KEY`, `X-Api-Key` or `Api-Key`."
)
_DESCRIPTIONS = {
    400: "A field is invalid. The error names it.",
    401: "The API key is missing, invalid or expired.",
    403: "The API key may not use this model.",
    404: "The server does not serve this model.",
    408: "The body arrives too slowly. For Amazon Bedrock and OpenRouter also: the deadline of the request passed, or "
    "would pass.",
    413: "The body is too large.",
    415: "The coding of the body is not supported. `accept-encoding` has the supported ones.",
    422: "A field is invalid.",
    424: "The model failed on a text.",
    429: "The server is overloaded, or the API key is over its limits. `retry-after` has the seconds until a retry "
    "makes sense.",
    500: "The model or the server failed.",
    503: "The server is loading its model or draining. `retry-after` has the seconds until a retry makes sense.",
    504: "The deadline of the request passed, or would pass.",
}
"""Descriptions of errors by HTTP status."""
_RETRY_AFTER = {"retry-after": {"description": "Seconds until a retry makes sense", "schema": {"type": "integer"}}}
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "`X-Api-Key: KEY`"},
}
"""The forms of an API key that the page offers under "Authorize". A request needs one of them."""
_FIRST = ("/v1/rerank", "/v2/rerank")
"""Paths at the beginning of the page."""
_REF = "#/components/schemas/{model}"


class _State(NamedTuple):
    """The facts about a server that change the page."""

    key_required: bool
    takes_instruction: bool
    calibrated: bool

    @classmethod
    def of(cls, server: ServerFacts) -> "_State":
        """Return the state of a server."""
        calibrated = bool(server.models and server.models[0].calibration)
        return cls(server.key_required, server.takes_instruction, calibrated)


class OpenapiPage:
    """The page of a server. Each form of it is built once."""

    def __init__(
        self,
        documented: Mapping[str, Sequence[Dialect]],
        look_ups: Sequence[LookUp],
        facts: Callable[[], ServerFacts],
    ) -> None:
        """Create the page.

        Args:
            documented: the dialects that the page describes, by path.
            look_ups: the GET requests that the page describes.
            facts: returns the current state of the server.
        """
        self._encoded = cache(lambda state: dump_json(_page(documented, look_ups, state)))
        self._facts = facts

    def encoded(self) -> bytes:
        """Return the page as JSON. The first call takes half a second."""
        return self._encoded(_State.of(self._facts()))

    async def respond(self, _request: Request) -> Response:
        """Respond with the page. It is built in a thread, because everyone may ask for it, and others must not wait."""
        content = await asyncio.to_thread(self._encoded, _State.of(self._facts()))
        return Response(content, media_type="application/json")


def _page(documented: Mapping[str, Sequence[Dialect]], look_ups: Sequence[LookUp], state: _State) -> dict[str, Any]:
    schemas = _Schemas()
    operations = {path: _rank_operation(path, dialects, schemas) for path, dialects in documented.items()}
    paths = {shown_path(path): {"post": operations[path]} for path in dict.fromkeys((*_FIRST, *operations))}
    paths |= {shown_path(look_up.path): {"get": _look_up_operation(look_up, schemas)} for look_up in look_ups}
    paths |= {path: {"get": _health_operation(path, *texts)} for path, texts in _HEALTH_CHECKS.items()}
    schemas.remove_unsupported(takes_instruction=state.takes_instruction, calibrated=state.calibrated)
    components: dict[str, Any] = {"schemas": schemas}
    if state.key_required:
        components["securitySchemes"] = _SECURITY_SCHEMES
        for operation in _operations_with_key(paths, look_ups):
            operation["security"] = [{name: []} for name in _SECURITY_SCHEMES]
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "description": _DESCRIPTION, "version": rerank_service.__version__},
        "servers": [{"url": "./"}],  # relative to the page, so that the requests of /docs keep the prefix of a proxy
        "paths": paths,
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "components": components,
    }


class _Schemas(dict[str, Any]):
    """The schemas of the page by name. A type is added when an operation refers to it."""

    def any_of(self, types: Iterable[Any], mode: JsonSchemaMode = "serialization") -> dict[str, Any]:
        """Return the schema for any of these types."""
        schemas = [self._of(kind, mode) for kind in types]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _of(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """Return a reference to the type if it has a name, else its schema."""
        schema = TypeAdapter(kind).json_schema(mode=mode, ref_template=_REF)
        self |= schema.pop("$defs", {})
        if "title" not in schema:
            return schema
        self[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}

    def remove_unsupported(self, *, takes_instruction: bool, calibrated: bool) -> None:
        """Remove the values of fields that the served model does not support."""
        for fields in (schema.get("properties", {}) for schema in self.values()):
            for name in fields.keys() & {"instruction", "instruct", "task"} if not takes_instruction else ():
                fields[name] = {
                    "type": ["string", "null"],
                    "maxLength": 0,
                    "description": "Not supported by the served model.",
                }
            if not calibrated and "score_type" in fields:
                fields["score_type"]["anyOf"][0]["enum"].remove(ScoreType.CALIBRATED.value)


def _rank_operation(path: str, dialects: Sequence[Dialect], schemas: _Schemas) -> dict[str, Any]:
    """Return the POST operation of a path with these dialects."""
    statuses = sorted({status for dialect in dialects for status in dialect.error_types})
    body = {
        "schema": schemas.any_of((dialect.request_type for dialect in dialects), "validation"),
        "examples": {type(dialect).__name__: {"value": dialect.example} for dialect in dialects},
    }
    return {
        "operationId": _operation_id("rerank", path, "post"),
        "summary": f"Rank documents: {', '.join(dialect.title for dialect in dialects)}",
        "description": _selection(dialects) + _HEADERS,
        "tags": [dialects[-1].tag],  # the unified dialect is the last one of a path
        "parameters": _parameters(path),
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": _content("The ranking", schemas.any_of(dialect.response_type for dialect in dialects)),
            **{str(status): _error(status, schemas.any_of(_error_types(dialects, status))) for status in statuses},
        },
    }


def _selection(dialects: Sequence[Dialect]) -> str:
    """Return how one of several dialects is selected, as a paragraph."""
    return "The fields of the body select the format; see the examples.\n\n" if len(dialects) > 1 else ""


def _look_up_operation(look_up: LookUp, schemas: _Schemas) -> dict[str, Any]:
    """Return the GET operation of a look-up."""
    parameters = _parameters(look_up.path)
    errors: dict[int, Any] = {503: ErrorBody}
    errors |= {} if look_up.public else {401: ErrorBody, 403: ErrorBody}
    errors |= {404: ErrorBody} if parameters else {}
    errors |= look_up.error_types
    found = (
        {"204": {"description": "Success, without a body"}}
        if look_up.response_type is None
        else {"200": _content("The response", schemas.any_of([look_up.response_type]))}
    )
    return {
        "operationId": _operation_id("get", look_up.path, "get"),
        "summary": look_up.summary,
        "tags": [HEALTH if look_up.is_health_check else MODELS],
        "parameters": parameters,
        "responses": {
            **found,
            **{str(status): _error(status, schemas.any_of([kind])) for status, kind in errors.items()},
        },
    }


def _health_operation(path: str, name: str, summary: str) -> dict[str, Any]:
    """Return the GET operation of a health check."""
    return {
        "operationId": _operation_id(name, path, "get"),
        "summary": summary,
        "tags": [HEALTH],
        "responses": {"200": {"description": "Successful Response"}},
    }


def _operation_id(name: str, path: str, method: str) -> str:
    """Return the id from which generated clients make the name of a function, as FastAPI makes it."""
    return re.sub(r"\W", "_", f"{name}{shown_path(path)}") + f"_{method}"


def _parameters(path: str) -> list[dict[str, Any]]:
    """Return the parameters of a path: the model, or none."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return [model] if PATH_MODEL in path else []


def _error_types(dialects: Iterable[Dialect], status: int) -> list[Any]:
    """Return the types of an error's body in these dialects, each type once."""
    return list({id(kind): kind for dialect in dialects if (kind := dialect.error_types.get(status))}.values())


def _operations_with_key(all_paths: dict[str, Any], look_ups: Iterable[LookUp]) -> list[dict[str, Any]]:
    """Return the operations that require an API key: all that rank, and the look-ups that are not public."""
    paths = {shown_path(look_up.path) for look_up in look_ups if not look_up.public}
    return [
        operation
        for path, operations in all_paths.items()
        for method, operation in operations.items()
        if method == "post" or path in paths
    ]


def _error(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    response = _content(_DESCRIPTIONS[status], schema)
    return response | {"headers": _RETRY_AFTER} if status in (429, 503) else response


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
