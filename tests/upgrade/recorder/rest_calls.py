"""REST requests of 0.1.0's callers, and their responses. Needs the standard library only."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from upgrade.recorder.model import TEXTS

KEY = "secret"
"""API key of the recorded server."""
QUERY = TEXTS[0]
DOCUMENTS = TEXTS[1:]
_OBJECTS = [{"title": text[:20], "text": text, "stars": at} for at, text in enumerate(DOCUMENTS)]
_KEPT = ("content-type", "retry-after", "location")
"""Headers of a response that callers act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCall:
    """A request."""

    method: str = "POST"
    path: str = "/v1/rerank"
    body: Any = None
    """JSON value, or the bytes of the body."""
    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})


def _rank(path: str = "/v1/rerank", **body: Any) -> RestCall:
    return RestCall(path=path, body={"query": QUERY, "documents": DOCUMENTS} | body)


def _get(path: str, **headers: str) -> RestCall:
    return RestCall(method="GET", path=path, headers=headers)


REST_CALLS = {
    "strings": _rank(),
    "cohere v2": _rank("/v2/rerank", model="default", top_n=2, return_documents=True),
    "voyage": _rank(model="tiny", top_k=3, return_documents=True, truncation=True),
    "objects": _rank(documents=_OBJECTS, return_documents=True),
    "fields of objects": _rank("/v2/rerank", documents=_OBJECTS, rank_fields=["title", "stars"]),
    "query as an object": _rank(query={"text": QUERY}),
    "logits": _rank(raw_scores=True),
    "logits for vLLM": _rank(use_activation=False),
    "cut documents": _rank(max_tokens_per_doc=8),
    "priority": _rank(priority=-3),
    "alias": _rank(model="other"),
    "nulls": _rank(model=None, top_n=None, return_documents=None, rank_fields=None, max_tokens_per_doc=None),
    "unknown field": _rank(nothing="like that"),
    "duplicates": _rank(documents=[DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[0]]),
    "boolean as a word": _rank(return_documents="true"),
    "x-api-key": RestCall(body={"query": QUERY, "documents": DOCUMENTS[:2]}, headers={"x-api-key": KEY}),
    "timeout": RestCall(
        body={"query": QUERY, "documents": DOCUMENTS[:2]},
        headers={"authorization": f"Bearer {KEY}", "x-request-timeout": "30"},
    ),
    **{
        f"path {path}": _rank(path, documents=DOCUMENTS[:2])
        for path in ("/rerank", "/v1/v1/rerank", "/v1/v2/rerank", "/reranking", "/v1/reranking", "//v1//rerank/")
    },
    "no key": RestCall(body={"query": QUERY, "documents": DOCUMENTS}, headers={}),
    "wrong key": RestCall(body={"query": QUERY, "documents": DOCUMENTS}, headers={"authorization": "Bearer wrong"}),
    "unknown model": _rank(model="nobody"),
    "no query": RestCall(body={"documents": DOCUMENTS}),
    "no documents": _rank(documents=[]),
    "document of a wrong type": _rank(documents=["a", 1]),
    "negative top_n": _rank(top_n=-1),
    "not JSON": RestCall(body=b'{"query": '),
    "not an object": RestCall(body=[1]),
    "wrong timeout": RestCall(body={}, headers={"authorization": f"Bearer {KEY}", "x-request-timeout": "soon"}),
    "unknown path": RestCall(path="/v1/nothing", body={}),
    "wrong method": _get("/v1/rerank"),
    "models": _get("/v1/models", authorization=f"Bearer {KEY}"),
    "models without a key": _get("/v1/models"),
    "live": _get("/health/live"),
    "ready": _get("/health/ready"),
}


def rest_responses(address: str) -> dict[str, Any]:
    """Send all requests to a server, and return its responses by the names of the requests."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        return {name: _response(connection, call) for name, call in REST_CALLS.items()}
    finally:
        connection.close()


def status_of(address: str, method: str, path: str) -> int:
    """Return the status of a request without a body."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def _response(connection: http.client.HTTPConnection, call: RestCall) -> dict[str, Any]:
    body = call.body if isinstance(call.body, bytes) or call.body is None else json.dumps(call.body).encode()
    headers = {**call.headers, **({"content-type": "application/json"} if body is not None else {})}
    connection.request(call.method, call.path, body, headers)
    response = connection.getresponse()
    content = json.loads(response.read())
    return {"status": response.status, "headers": _headers(response.getheaders()), "body": content}


def _headers(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() in _KEPT}
