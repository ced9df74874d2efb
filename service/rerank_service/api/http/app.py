"""The REST application: dialects and look-ups on their paths, health checks, the playground, and the page /docs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Match, Route

import rerank_service
from rerank_service.api.http.checked_headers import CheckedHeaders
from rerank_service.api.http.cors import allow_origins
from rerank_service.api.http.dialects import all_dialects, all_look_ups
from rerank_service.api.http.dialects.contract import Dialect, Exchange
from rerank_service.api.http.dialects.look_up import LookUp
from rerank_service.api.http.dialects.paths import PATH_MODEL
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.metrics_route import METRICS, MetricsRoute
from rerank_service.api.http.observed_app import observation_of
from rerank_service.api.http.openapi import openapi_page
from rerank_service.api.http.openapi_tags import HEALTH
from rerank_service.api.http.playground.routes import FILES, Playground
from rerank_service.api.http.routes import RerankRoutes, error_response
from rerank_service.error_text import excerpt
from rerank_service.errors import Unauthenticated, UnknownRoute

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    routes: RerankRoutes,
    cors_origins: Sequence[str] = (),
    metrics: MetricsRoute | None = None,
    playground: Playground | None = None,
) -> FastAPI:
    """Return the application with all routes.

    Pages of `cors_origins` may send requests from a browser. `metrics` is the route of /metrics, if this port has it.
    `playground` is the page at /. None: / redirects to /docs.
    """
    app = FastAPIOffline(
        title="rerank-service",
        version=rerank_service.__version__,
        redoc_url=None,
        redirect_slashes=False,  # paths come without a trailing slash: a redirect to one would lead back to itself
        description="Ranks documents by their relevance to a query. The keys of a body select its dialect: unified "
        "(Cohere v1 and v2, Together, Jina, Voyage, vLLM and similar services), TEI, mixedbread, NVIDIA, Pinecone, "
        "Weaviate, Amazon Bedrock and others.",
    )
    dialects_by_path, look_ups = _dialects_by_path(), all_look_ups()
    documented = _documented(dialects_by_path)
    for path, dialects in dialects_by_path.items():
        app.add_api_route(
            path,
            _rank_endpoint(routes, dialects),
            methods=["POST"],
            response_class=Response,
            include_in_schema=path in documented,
        )
    for look_up in look_ups:
        _add_get(app, look_up.path, _look_up_endpoint(routes, look_up), options=look_up.public)
    for path, endpoint, summary in (
        ("/health/live", routes.live, "Report liveness: 200 while the process runs"),
        ("/health/ready", routes.readiness, "Report readiness: 200 if the server accepts requests, else 503"),
    ):
        _add_get(app, path, endpoint, options=True, summary=summary, tags=[HEALTH])
    if metrics is not None:
        app.add_route(METRICS, metrics.__call__, include_in_schema=False)
        app.add_exception_handler(Unauthenticated, _unauthenticated)
    _add_page(app, playground)
    app.add_exception_handler(HTTPException, _unknown_route)
    allow_origins(app, cors_origins)
    page = openapi_page(app, documented, look_ups, routes.facts)
    app.openapi = page  # type: ignore[method-assign]  # as FastAPI's documentation does, "Extending OpenAPI"
    # before the route of FastAPI, which would build and encode the page on the event loop
    app.router.routes.insert(0, Route(str(app.openapi_url), page.respond, include_in_schema=False))
    app.add_middleware(CheckedHeaders)
    return app


def _add_page(app: FastAPI, playground: Playground | None) -> None:
    """Add the page at /, and its files. Without a playground, / redirects to /docs."""
    if playground is None:
        app.add_api_route("/", _redirect_to_docs, methods=["GET"], include_in_schema=False)
        return
    for path, endpoint in (("/", playground.page), ("/playground", _redirect_to_page), (FILES, playground.file)):
        _add_get(app, path, endpoint, options=False, include_in_schema=False)


def _add_get(
    app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]], *, options: bool, **documentation: Any
) -> None:
    """Add a route for GET, and for OPTIONS if `options` is true: HAProxy checks health by OPTIONS."""
    app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, **documentation)
    if options:
        app.add_api_route(path, endpoint, methods=["OPTIONS"], response_class=Response, include_in_schema=False)


def _dialects_by_path() -> dict[str, list[Dialect]]:
    """Return all paths, with the dialects that each accepts.

    The unified dialect is the last of a path: it accepts what no other dialect of the path does. Paths with a parameter
    are last: `/inference/v1/rerank` also has the form of `/inference/{model:path}`.
    """
    by_path: dict[str, list[Dialect]] = {}
    for dialect in sorted(all_dialects(), key=lambda dialect: dialect is UNIFIED):
        for path in dialect.paths:
            by_path.setdefault(path, []).append(dialect)
    return dict(sorted(by_path.items(), key=lambda item: PATH_MODEL in item[0]))


def _documented(dialects_by_path: Mapping[str, Sequence[Dialect]]) -> dict[str, list[Dialect]]:
    """Return the paths that the OpenAPI page describes, with the dialects that it describes there."""
    documented = {
        path: [dialect for dialect in dialects if path in dialect.documented_paths]
        for path, dialects in dialects_by_path.items()
    }
    return {path: dialects for path, dialects in documented.items() if dialects}


def _rank_endpoint(routes: RerankRoutes, dialects: Sequence[Dialect]) -> Endpoint:
    async def rerank(request: Request) -> Response:
        return await routes.rerank(request, dialects)

    return rerank


def _look_up_endpoint(routes: RerankRoutes, look_up: LookUp) -> Endpoint:
    async def get(request: Request) -> Response:
        return await routes.look_up(request, look_up)

    return get


async def _unknown_route(request: Request, error: Exception) -> Response:
    """Return an unknown route or method in the form of all other errors, which clients can parse.

    OPTIONS of a known path is 204. `allow` has the methods of the path. Preflight requests of browsers come here only
    without `cors_origins`: the response has no CORS headers, so browsers send no request of another origin.
    """
    assert isinstance(error, HTTPException)
    allowed = {"allow": ", ".join(_methods(request))} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else {}
    if allowed and request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
    path = excerpt(request.scope["path"])
    usual = [method for method in _methods(request) if method not in ("HEAD", "OPTIONS")] if allowed else []
    step = f"use {' or '.join(usual)}" if usual else "the page /docs lists all paths"
    unknown = UnknownRoute(
        f"{excerpt(request.method)} {path} is not served ({error.detail}): {step}",
        status=error.status_code,
    )
    observation = observation_of(request)
    observation.fail(unknown)
    response = error_response(unknown, UNIFIED, Exchange(observation.id, path))
    response.headers.update(allowed)
    return response


async def _unauthenticated(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unauthenticated)
    observation = observation_of(request)
    observation.fail(error)
    return error_response(error, UNIFIED, Exchange(observation.id, METRICS))


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes with the path of the request, with OPTIONS, and with HEAD beside GET."""
    routes = [route for route in request.app.routes if isinstance(route, Route | APIRoute)]
    path = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    methods = methods or {"GET"}  # a file of the page /docs
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _redirect_to_docs() -> Response:
    return RedirectResponse("/docs")


async def _redirect_to_page(request: Request) -> Response:  # noqa: ARG001 - an endpoint
    return RedirectResponse("/")
