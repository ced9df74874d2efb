"""All paths of the REST server, with the dialects that each accepts. They are those of the application itself, so a new
path is tried without a change here."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from rerank_service.api.auth import Keys
from rerank_service.api.http.app import build_app
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.paths import PATH_MODEL
from rerank_service.api.http.metrics_route import MetricsRoute
from rerank_service.api.http.playground.routes import Playground
from rerank_service.api.http.routes import RerankRoutes
from support.limits import rest_options
from torture.values import TEXTS

_NAME = "{name:path}"
_NOTHING: Any = None
"""The application is not run here, so its routes need no reranker."""


@dataclass(frozen=True, slots=True)
class FuzzedPath:
    """A path of the server."""

    path: str
    """With the placeholder of a model or a file, if it has one."""
    methods: tuple[str, ...]
    dialects: tuple[Dialect, ...]
    """Dialects of a path that ranks; empty for any other path."""

    def filled(self, rng: Random) -> str:
        """Return the path with a name in place of the placeholder: mostly one that exists."""
        model = "default" if rng.random() < 0.8 else quoted(rng.choice(TEXTS))
        file = "main.js" if rng.random() < 0.5 else quoted(rng.choice(TEXTS))
        return self.path.replace(PATH_MODEL, model).replace(_NAME, file)


def quoted(text: str) -> str:
    """Return a text as it stands in a URL, with `/` unchanged."""
    safe = b"/-._~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in text.encode())


@cache
def all_paths() -> tuple[FuzzedPath, ...]:
    """Return all paths."""
    routes = RerankRoutes(_NOTHING, _NOTHING, Keys(), rest_options())
    app = build_app(routes, (), MetricsRoute(_NOTHING, Keys()), Playground(grpc_port=0))
    methods: dict[str, set[str]] = {}
    for route in app.routes:
        methods.setdefault(getattr(route, "path", "/"), set()).update(getattr(route, "methods", None) or {"GET"})
    return tuple(FuzzedPath(path, tuple(sorted(found)), _dialects_of(path)) for path, found in methods.items())


def _dialects_of(path: str) -> tuple[Dialect, ...]:
    return tuple(dialect for dialect in all_dialects() if path in dialect.paths)


def ranking_paths() -> list[FuzzedPath]:
    """Return the paths that rank."""
    return [path for path in all_paths() if path.dialects]


def field_names(dialects: Iterable[Dialect]) -> set[str]:
    """Return the names of all fields in the bodies of these dialects, also of nested ones."""
    names: set[str] = set()
    for dialect in dialects:
        schema = dialect.request_type.model_json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            names |= part.get("properties", {}).keys()
    return names
