"""Every path and every RPC without a key, with a wrong, an expired, a valid and an admin key.

The paths come from the application, and the RPCs from the reflection of each port. So whoever adds one must decide
whether it is public: add it to `PUBLIC_PATHS` or `PUBLIC_SERVICES` and to docs/threat-model.md, or check the key.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from starlette.routing import Route

from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.http.app import build_app
from rerank_service.api.http.metrics_port import metrics_app
from rerank_service.api.http.metrics_route import MetricsRoute
from rerank_service.api.http.playground.routes import Playground
from rerank_service.api.http.server import listening
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.models.model_state import ModelState
from rerank_service.scheduling.caller import Caller
from support.admin import StatedModels, admin_served
from support.limits import rest_options
from support.running import Running, Served, served

KEYS = Keys(
    known=[
        KnownKey(digest("valid"), Caller("search")),
        KnownKey(digest("root"), Caller("ops", admin=True)),
        KnownKey(digest("expired"), Caller("old", admin=True), expires=datetime(2020, 1, 1, tzinfo=UTC)),
    ]
)
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
REFUSED = (None, "wrong", "expired")
"""Keys with which nothing but the public paths can be used."""
PUBLIC_PATHS = {
    *("/health/live", "/health/ready", "/health", "/ping", "/v2/health/live", "/v2/health/ready"),
    *("/.well-known/live", "/.well-known/ready", "/v1/cluster/auth"),
    *("/docs", "/docs/oauth2-redirect", "/openapi.json", "/static-offline-docs/{name:path}"),
    *("/", "/playground", "/playground/{name:path}"),
}
"""Paths whose GET needs no key. HEAD is GET, and OPTIONS shows the methods of a path. No POST is public."""
PUBLIC_SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
ADMIN_SERVICES = {"rerank.v1.Admin"}
"""Services that need a key with `admin: true`."""


async def _metrics(_accept: str) -> tuple[bytes, str]:
    return b"up 1\n", "text/plain"


@pytest.fixture
async def edges(core: Running) -> AsyncIterator[Served]:
    """Yield both servers with all that they can have, and with keys."""
    async with served(core, keys=KEYS, metrics=_metrics, playground=Playground(grpc_port=1)) as parts:
        parts.routes.ready = True
        yield parts


def _paths(edges: Served) -> Iterator[tuple[str, str]]:
    """Yield the methods and paths of the application."""
    app = build_app(edges.routes, (), MetricsRoute(_metrics, KEYS), Playground(grpc_port=1))
    for route in app.routes:
        assert isinstance(route, Route), f"{route} is of a new kind: decide who may use it"
        yield from ((method, route.path) for method in route.methods or ())


async def _status(edges: Served, method: str, path: str, key: str | None) -> int:
    sent = path.replace("{model:path}", "small").replace("{name:path}", "playground.css")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return (await edges.http.request(method, sent, headers=headers, json={} if method == "POST" else None)).status_code


async def test_each_path_is_public_or_needs_a_key(edges: Served) -> None:
    """HEAD needs a key where GET does."""
    paths, public = set(_paths(edges)), PUBLIC_PATHS
    assert public <= {path for _, path in paths}
    for method, path in sorted(paths | {("HEAD", path) for method, path in paths if method == "GET"}):
        is_public = method == "OPTIONS" or (method in ("GET", "HEAD") and path in public)
        for key in REFUSED:
            assert (await _status(edges, method, path, key) == 401) is not is_public, (method, path, key)
        assert await _status(edges, method, path, "valid") not in (401, 403), (method, path)


async def test_other_methods_do_nothing(edges: Served) -> None:
    """With any key."""
    for path in ("/v1/rerank", "/metrics", "/v1/models", "/nowhere"):
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
            for key in (*REFUSED, "valid", "root"):
                assert await _status(edges, method, path, key) in (404, 405)


async def test_refused_requests_do_not_reach_the_model(edges: Served) -> None:
    """A complete request in every place of a key."""
    body = {"query": "0", "documents": ["1"]}
    for key in ("wrong", "expired"):
        for name, value in (("authorization", f"Bearer {key}"), ("x-api-key", key), ("api-key", key)):
            assert (await edges.http.post("/v2/rerank", json=body, headers={name: value})).status_code == 401
    assert (await edges.http.post("/v2/rerank", json=body, params={"api_key": "valid"})).status_code == 401
    assert (await edges.http.post("/v2/rerank", json={**body, "api_key": "valid"})).status_code == 401
    cookie = {"cookie": "authorization=Bearer valid; x-api-key=valid"}
    assert (await edges.http.post("/v2/rerank", json=body, headers=cookie)).status_code == 401
    assert edges.core.score.batches == []


async def test_what_is_switched_off_is_not_there(core: Running) -> None:
    """Without metrics on the REST port, and without the playground."""
    async with served(core, keys=KEYS) as edges:
        for key in (*REFUSED, "valid", "root"):
            assert await _status(edges, "GET", "/metrics", key) == 404
            assert await _status(edges, "GET", "/playground", key) == 404
            assert await _status(edges, "GET", "/playground/{name:path}", key) == 404
            assert await _status(edges, "GET", "/", key) == 307


async def test_port_for_metrics_has_metrics_and_liveness_only(edges: Served) -> None:
    """With liveness for probes. It checks no key, as documented. Nothing else of the REST server is on it."""
    paths = {path for _, path in _paths(edges)} - {"/metrics", "/health/live"}
    async with listening(metrics_app(_metrics), rest_options()) as port:
        edges.http.base_url = port.urls[0]
        assert await _status(edges, "GET", "/metrics", None) == 200
        assert await _status(edges, "GET", "/health/live", None) == 200
        for method in ("GET", "POST"):
            for path in sorted(paths):
                assert await _status(edges, method, path, "root") == 404
        for path in ("/metrics", "/health/live"):
            assert await _status(edges, "POST", path, "root") == 405


async def _methods(address: str) -> list[tuple[str, str]]:
    """Return the services and methods that the reflection of a port shows."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        info = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed = await anext(aiter(info(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))))
        names = [service.name for service in listed.list_services_response.service]
        requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names]
        found = set()
        async for response in info(iter(requests)):
            for content in response.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(content)
                for service in file.service:
                    found |= {(f"{file.package}.{service.name}", method.name) for method in service.method}
        return sorted(each for each in found if each[0] in names)


async def _code(address: str, service: str, method: str, key: str | None) -> grpc.StatusCode:
    """Call a method with an empty message, and return the status of the call, or OK after its first response.

    The client is the blocking one: grpc.aio loses the status of about one in 3,000 refused calls, which the server
    does not prevent for strangers (docs/decisions/0062-status-after-the-last-message.md).
    """
    return await asyncio.to_thread(_blocking_code, address, f"/{service}/{method}", key)


def _blocking_code(address: str, path: str, key: str | None) -> grpc.StatusCode:
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    with grpc.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        start: Any = channel.stream_stream(path)
        call = start(iter([b""]), metadata=metadata)
        try:
            for _ in call:
                call.cancel()
                return grpc.StatusCode.OK
        except grpc.RpcError:
            pass
        code: grpc.StatusCode = call.code()
        return code


async def test_each_rpc_is_public_or_needs_a_key(edges: Served) -> None:
    """Admin is not on this port."""
    methods = await _methods(edges.address)
    services = {service for service, _ in methods}
    assert services > PUBLIC_SERVICES
    assert not services & ADMIN_SERVICES
    for service, method in methods:
        for key in REFUSED:
            refused = await _code(edges.address, service, method, key) is grpc.StatusCode.UNAUTHENTICATED
            assert refused is (service not in PUBLIC_SERVICES), (service, method, key)
        assert await _code(edges.address, service, method, "valid") is not grpc.StatusCode.UNAUTHENTICATED
    for key in (*REFUSED, "valid", "root"):
        assert await _code(edges.address, "rerank.v1.Admin", "ListBundles", key) is grpc.StatusCode.UNIMPLEMENTED
    assert edges.core.score.batches == []


async def test_each_rpc_of_admin_needs_an_admin_key(tmp_path: Path) -> None:
    """Its port has health checks and reflection too, and no ranking."""
    models = StatedModels(ModelStatus(name="small", folder=tmp_path, state=ModelState.READY))
    async with admin_served(models, keys=KEYS) as address:
        methods = await _methods(address)
        assert {service for service, _ in methods} == PUBLIC_SERVICES | ADMIN_SERVICES
        for service, method in methods:
            public = service in PUBLIC_SERVICES
            for key in REFUSED:
                assert (await _code(address, service, method, key) is grpc.StatusCode.UNAUTHENTICATED) is not public
            denied = await _code(address, service, method, "valid") is grpc.StatusCode.PERMISSION_DENIED
            assert denied is (service in ADMIN_SERVICES)
            assert await _code(address, service, method, "root") is not grpc.StatusCode.PERMISSION_DENIED
        assert models.loaded == []
