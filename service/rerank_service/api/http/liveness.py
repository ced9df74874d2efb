"""The path /health/live, on the REST port and on the port for metrics."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LIVE = "/health/live"


async def live(_request: Request) -> Response:
    """Return 200 while the process runs."""
    return JSONResponse({"status": "live"})
