"""The application of the port for metrics, which callers do not reach."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from rerank_service.api.auth import Keys
from rerank_service.api.http.internal_errors import InternalErrors
from rerank_service.api.http.liveness import LIVE, live
from rerank_service.api.http.metrics_route import METRICS, MetricsRoute, MetricsText


def metrics_app(text: MetricsText) -> Starlette:
    """Return the application of the port for metrics. It checks no keys.

    It also reports liveness: a probe on a port for callers fails while callers hold all of its connections.
    """
    return Starlette(
        routes=[Route(METRICS, MetricsRoute(text, Keys()).__call__), Route(LIVE, live)],
        middleware=[Middleware(InternalErrors)],
    )
