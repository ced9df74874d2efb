"""The OpenAPI description of the dialects' paths: what is sent and what comes back on each, whoever sends it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from rerank_service.api.dialects import Dialect, LookUp
from rerank_service.api.json_errors import ErrorBody

_HOW = (
    "A deadline may be given in seconds by the header `X-Request-Timeout`, a name for the request by `X-Request-Id`, "
    "a key by `Authorization: Bearer KEY`, `X-Api-Key` or `Api-Key`."
)
_MEANINGS = {
    400: "A field is wrong; it is named",
    401: "No key, or a wrong one",
    404: "No such model",
    413: "The body is too large",
    422: "A field is wrong",
    424: "The model failed on a text",
    429: "Too much is waiting; `retry-after` says when to come back",
    500: "The model failed, or the server did",
    503: "Loading or draining; `retry-after` says when to come back",
    504: "The time was over",
}
_RETRY_AFTER = {"retry-after": {"description": "Seconds", "schema": {"type": "integer"}}}
_REF = "#/components/schemas/{model}"


class Description:
    """Collects what routes add to the page, and the schemas they refer to."""

    def __init__(self, *, keys_asked: bool) -> None:
        self._keys_asked = keys_asked
        self._schemas: dict[str, Any] = {}

    def of_ranking(self, dialects: Sequence[Dialect]) -> dict[str, Any]:
        """What `add_api_route` is told of a path on which these dialects are spoken."""
        errors = sorted({status for one in dialects for status in one.errors})
        examples = {type(one).__name__: {"value": one.example} for one in dialects}
        return {
            "summary": "Rank documents",
            "description": _HOW,
            "tags": ["rerank"],
            "responses": {
                200: _content("The ranking", self._any_of(one.response for one in dialects)),
                **{status: self._error(status, _on(dialects, status)) for status in errors},
            },
            "openapi_extra": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": self._any_of((one.request for one in dialects), mode="validation"),
                            "examples": examples,
                        }
                    },
                },
                **self._security(),
            },
        }

    def of_look_up(self, look_up: LookUp) -> dict[str, Any]:
        """The same of a look-up."""
        refused = {} if look_up.public else {401: ErrorBody}
        named = {404: ErrorBody} if "{" in look_up.path else {}
        errors: Mapping[int, Any] = {503: ErrorBody, **refused, **named, **look_up.errors}
        return {
            "summary": look_up.summary,
            "tags": ["server"],
            "responses": {
                200: _content("It", self._any_of([look_up.response])),
                **{status: self._error(status, [kind]) for status, kind in errors.items()},
            },
            "openapi_extra": {} if look_up.public else self._security(),
        }

    def of(self, app: FastAPI) -> Callable[[], dict[str, Any]]:
        """What the page shows of an application: what FastAPI knows, with our schemas in it."""
        known = app.openapi

        def openapi() -> dict[str, Any]:
            page = known()
            components = page.setdefault("components", {})
            components.setdefault("schemas", {}).update(self._schemas)
            if self._keys_asked:
                components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            return page

        return openapi

    def _error(self, status: int, types: Iterable[Any]) -> dict[str, Any]:
        told = _content(_MEANINGS[status], self._any_of(types))
        return told | {"headers": _RETRY_AFTER} if status in (429, 503) else told

    def _security(self) -> dict[str, Any]:
        return {"security": [{"key": []}]} if self._keys_asked else {}

    def _any_of(self, types: Iterable[Any], mode: JsonSchemaMode = "serialization") -> dict[str, Any]:
        schemas = [self._schema(kind, mode) for kind in types]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _schema(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """A reference to the schema of a type that has a name, else the schema; what it refers to is kept."""
        schema = TypeAdapter(kind).json_schema(mode=mode, ref_template=_REF)
        self._schemas |= schema.pop("$defs", {})
        if "title" not in schema:
            return schema
        self._schemas[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}


def _on(dialects: Iterable[Dialect], status: int) -> list[Any]:
    """The types of an error's body where each of the dialects is spoken, each once."""
    return list({id(kind): kind for one in dialects if (kind := one.errors.get(status))}.values())


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
