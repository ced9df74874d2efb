"""HTTP requests to a served reranker, and small HTTP servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from rerank_service.api.http.dialects.paths import PATH_MODEL
from support.running import Served


async def post(edges: Served, body: Any, path: str = "/v2/rerank", **headers: str) -> httpx.Response:
    """Send a body as JSON; bytes are sent unchanged. A path that names the model names the default model."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await edges.http.post(path.replace(PATH_MODEL, "default"), content=content, headers=headers)


async def works(edges: Served) -> bool:
    """Return whether the next request succeeds and no earlier request is live."""
    response = await post(edges, {"query": "0", "documents": ["1"]})
    return response.status_code == 200 and edges.core.idle()


@asynccontextmanager
async def listening(*routes: Route) -> AsyncIterator[str]:
    """Run a server with these routes and yield its URL."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=list(routes)), port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
