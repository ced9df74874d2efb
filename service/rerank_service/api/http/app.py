"""The REST application: dialects and look-ups on their paths, health checks, the playground, and the page /docs."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from rerank_service.api.http.api_docs import DOCS, OPENAPI, docs_routes, relative
from rerank_service.api.http.checked_headers import CheckedHeaders
from rerank_service.api.http.cors import cors_middleware
from rerank_service.api.http.dialects import all_dialects, all_look_ups
from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.paths import PATH_MODEL
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.internal_errors import InternalErrors
from rerank_service.api.http.liveness import LIVE, live
from rerank_service.api.http.metrics_route import METRICS, MetricsRoute
from rerank_service.api.http.openapi import OpenapiPage
from rerank_service.api.http.playground.routes import FILES, Playground
from rerank_service.api.http.routes import RerankRoutes, failure_response
from rerank_service.error_text import excerpt
from rerank_service.errors import Unauthenticated, UnknownRoute

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    routes: RerankRoutes,
    cors_origins: Sequence[str] = (),
    metrics: MetricsRoute | None = None,
    playground: Playground | None = None,
) -> Starlette:
    """Return the application with all routes.

    Pages of `cors_origins` may send requests from a browser. `metrics` is the route of /metrics, if this port has it.
    `playground` is the page at /. None: / redirects to /docs.
    """
    dialects_by_path, look_ups = _dialects_by_path(), all_look_ups()
    page = openapi_page(routes.facts)
    app = Starlette(
        routes=[
            *(Route(path, _rank_endpoint(routes, these), methods=["POST"]) for path, these in dialects_by_path.items()),
            *(_get(look_up.path, _look_up_endpoint(routes, look_up), options=look_up.public) for look_up in look_ups),
            _get(LIVE, live, options=True),
            _get("/health/ready", routes.readiness, options=True),
            *_metrics_routes(metrics),
            *_page_routes(playground),
            Route(OPENAPI, page.respond),
            *docs_routes(),
        ],
        middleware=[*cors_middleware(cors_origins), Middleware(InternalErrors), Middleware(CheckedHeaders)],
        exception_handlers={HTTPException: _unknown_route, Unauthenticated: _unauthenticated},
    )
    app.router.redirect_slashes = False  # paths come without a trailing slash: a redirect to one would lead back
    return app


def openapi_page(facts: Callable[[], ServerFacts]) -> OpenapiPage:
    """Return the OpenAPI page of the application. `facts` returns the current state of the server."""
    return OpenapiPage(_documented(_dialects_by_path()), all_look_ups(), facts)


def _get(path: str, endpoint: Endpoint, *, options: bool) -> Route:
    """Return a route for GET, and for OPTIONS if `options` is true: HAProxy checks health by OPTIONS."""
    return Route(path, endpoint, methods=["GET", "OPTIONS"] if options else ["GET"])


def _metrics_routes(metrics: MetricsRoute | None) -> Iterable[Route]:
    return () if metrics is None else (Route(METRICS, metrics.__call__),)


def _page_routes(playground: Playground | None) -> Iterable[Route]:
    """Return the routes of the page at / and its files. Without a playground, / redirects to /docs."""
    if playground is None:
        return (Route("/", _redirect_to(DOCS)),)
    return Route("/", playground.page), Route("/playground", _redirect_to("/")), Route(FILES, playground.file)


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
    response = failure_response(request, unknown)
    response.headers.update(allowed)
    return response


async def _unauthenticated(request: Request, error: Exception) -> Response:
    return failure_response(request, error)


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes with the path of the request, with OPTIONS, and with HEAD beside GET."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    path = next((route.path for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    methods = {method for route in routes if route.path == path for method in route.methods or ()}
    methods = methods or {"GET"}  # a file of the page /docs
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _redirect_to(path: str) -> Endpoint:
    async def redirect(request: Request) -> Response:
        return RedirectResponse(relative(path, request))  # a proxy may have removed a prefix

    return redirect
