"""The REST edge's application: the dialects on their paths, their look-ups, health, OpenAPI at /docs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

import rerank_service
from rerank_service.api.http.dialects import Dialect, Exchange, LookUp, all_dialects, all_look_ups
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.openapi import described
from rerank_service.api.http.routes import RerankRoutes, refusal
from rerank_service.api.request_id import request_id_from
from rerank_service.errors import UnknownRoute, excerpt

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(routes: RerankRoutes) -> FastAPI:
    """The application: each dialect's paths, and what is beside them."""
    app = FastAPIOffline(
        title="rerank-service",
        version=rerank_service.__version__,
        redoc_url=None,
        description="Documents in order of relevance to a query. Which dialect a body is of, its keys tell: Cohere v1 "
        "and v2, Together, Jina, Voyage and their kin, TEI, vLLM, mixedbread, NVIDIA, DashScope.",
    )
    spoken, look_ups = _by_path(), all_look_ups()
    shown = _shown(spoken)
    for path, dialects in spoken.items():
        app.add_api_route(
            path, _ranking(routes, dialects), methods=["POST"], response_class=Response, include_in_schema=path in shown
        )
    for one in look_ups:
        app.add_api_route(one.path, _looking_up(routes, one), methods=["GET"], response_class=Response)
    for path, endpoint, summary in (
        ("/health/live", routes.live, "Whether the process answers"),
        ("/health/ready", routes.readiness, "Whether requests should come here"),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, summary=summary, tags=["server"])
    app.add_api_route("/", _to_docs, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(HTTPException, _unknown_route)
    page = described(app, shown, look_ups, routes.facts)
    app.openapi = page  # type: ignore[method-assign]  # the way that FastAPI has for it
    return app


def _by_path() -> dict[str, list[Dialect]]:
    """Who is spoken where."""
    by_path: dict[str, list[Dialect]] = {}
    for dialect in all_dialects():
        for path in dialect.paths:
            by_path.setdefault(path, []).append(dialect)
    return by_path


def _shown(spoken: Mapping[str, Sequence[Dialect]]) -> dict[str, list[Dialect]]:
    """Of these, who is described on the OpenAPI page, where."""
    shown = {path: [one for one in dialects if path in one.shown] for path, dialects in spoken.items()}
    return {path: dialects for path, dialects in shown.items() if dialects}


def _ranking(routes: RerankRoutes, dialects: Sequence[Dialect]) -> Endpoint:
    async def rerank(request: Request) -> Response:
        return await routes.rerank(request, dialects)

    return rerank


def _looking_up(routes: RerankRoutes, look_up: LookUp) -> Endpoint:
    async def answer(request: Request) -> Response:
        return await routes.look_up(request, look_up)

    return answer


async def _unknown_route(request: Request, error: Exception) -> Response:
    """In the shape of all other errors: clients parse any alike."""
    assert isinstance(error, HTTPException)
    path = excerpt(request.url.path)
    refused = UnknownRoute(f"{request.method} {path}: {error.detail}", status=error.status_code)
    response = refusal(refused, UNIFIED, Exchange(request_id_from(request.headers), path))
    response.headers.update(error.headers or {})
    return response


def _to_docs() -> Response:
    return RedirectResponse("/docs")
