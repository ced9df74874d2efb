"""The check of the server between two blocks."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.http import listening
from torture.server import KNOWN, ask


async def test_the_known_request_is_sent_again_when_the_server_rejects_it() -> None:
    """The server protects requests of the part that are close to their deadline."""
    bodies = []

    async def rank(request: Request) -> Response:
        bodies.append(await request.json())
        if len(bodies) < 3:
            return JSONResponse({"message": "retry later"}, 429, {"retry-after": "0"})
        return JSONResponse({"results": [{"index": 2, "relevance_score": 0.5}]})

    async def ready(_: Request) -> Response:
        return Response()

    async with listening(Route("/health/ready", ready), Route("/v1/rerank", rank, methods=["POST"])) as url:
        assert await ask(url) == [(2, 0.5)]
    assert bodies == [KNOWN] * 3
