"""Requests to a served reranker."""

from typing import Any

import httpx
import orjson

from support.running import Served


async def post(edges: Served, body: Any, path: str = "/v2/rerank", **headers: str) -> httpx.Response:
    """Send a body as JSON, or as it is when it is bytes."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await edges.http.post(path, content=content, headers=headers)


async def works(edges: Served) -> bool:
    """Whether the next request is answered, and nothing is left of those before."""
    response = await post(edges, {"query": "0", "documents": ["1"]})
    return response.status_code == 200 and edges.core.idle()
