"""Both servers listen on the same addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from grpc.aio import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import LIVENESS, GrpcEdge
from rerank_service.api.grpc.server import listening as grpc_listening
from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import RestEdge
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.errors import SettingsInvalid
from support.limits import grpc_options, rest_options
from support.network import accepts, needs_ipv6
from support.running import Served


@asynccontextmanager
async def _listening(edges: Served, *hosts: str) -> AsyncIterator[tuple[GrpcEdge, RestEdge]]:
    addresses = listen_addresses(hosts)
    async with (
        rest_listening(build_app(edges.routes), rest_options(addresses=addresses)) as rest,
        grpc_listening((), Keys(), grpc_options(addresses=addresses)) as grpc,
    ):
        yield grpc, rest


@pytest.mark.parametrize(
    ("hosts", "ipv4", "ipv6"),
    [
        (["127.0.0.1"], True, False),
        (["0.0.0.0"], True, False),
        pytest.param(["::"], True, True, marks=needs_ipv6),
        pytest.param(["::1"], False, True, marks=needs_ipv6),
        pytest.param(["localhost"], True, True, marks=needs_ipv6),
        pytest.param(["::1", "127.0.0.1"], True, True, marks=needs_ipv6),
        pytest.param(["0.0.0.0", "::1"], True, True, marks=needs_ipv6),
        pytest.param(["::1", "0.0.0.0"], True, True, marks=needs_ipv6),
        pytest.param(["0.0.0.0", "::"], True, True, marks=needs_ipv6),
    ],
    ids=str,
)
async def test_both_edges_accept_the_same_families(edges: Served, hosts: list[str], ipv4: bool, ipv6: bool) -> None:
    """gRPC alone would take 0.0.0.0 as `::`."""
    async with _listening(edges, *hosts) as (grpc, rest):
        for edge in (grpc, rest):
            assert [accepts(ip, edge.port) for ip in ("127.0.0.1", "::1")] == [ipv4, ipv6]
        assert [url.removeprefix("http://").rpartition(":")[0] for url in rest.urls] == [
            target.rpartition(":")[0] for target in grpc.targets
        ]


async def test_unix_sockets_of_both_edges(edges: Served, tmp_path: Path) -> None:
    """One file for each protocol, removed at the end. A second server does not take them."""
    grpc_file, rest_file = tmp_path / "grpc.sock", tmp_path / "rest.sock"
    async with _listening(edges, f"unix:{tmp_path}") as (grpc, rest):
        assert (grpc.targets, rest.urls) == ((f"unix:{grpc_file}",), (f"unix:{rest_file}",))
        transport = httpx.AsyncHTTPTransport(uds=str(rest_file))
        async with httpx.AsyncClient(transport=transport, base_url="http://rerank", timeout=60) as http:
            ranked = await http.post("/v2/rerank", json={"query": "0", "documents": ["1"]})
        assert ranked.status_code == 200
        options = grpc_options(addresses=listen_addresses([f"unix:{tmp_path}"]))
        with pytest.raises(SettingsInvalid, match=rf"{grpc_file}: another server listens on it"):
            async with grpc_listening((), Keys(), options):
                raise AssertionError("unreachable")
        assert (grpc_file.stat().st_mode & 0o777, rest_file.stat().st_mode & 0o777) == (0o666, 0o666)
    assert not [path for path in (grpc_file, rest_file) if path.exists()]


async def test_unix_socket_and_tcp_at_once(edges: Served, tmp_path: Path) -> None:
    """For a proxy in the same pod, and probes by TCP."""
    async with _listening(edges, "127.0.0.1", f"unix:{tmp_path}") as (grpc, rest):
        assert accepts("127.0.0.1", grpc.port)
        assert accepts("127.0.0.1", rest.port)
        for target in grpc.targets:
            async with insecure_channel(target) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                live = await health.Check(health_pb2.HealthCheckRequest(service=LIVENESS))
                assert live.status == health_pb2.HealthCheckResponse.SERVING
        assert rest.urls == (f"http://127.0.0.1:{rest.port}", f"unix:{tmp_path / 'rest.sock'}")


async def test_a_used_port_is_an_error_on_any_address(edges: Served) -> None:
    """The first address is free again afterwards. No other program uses ports of these two addresses."""
    first, second = "127.0.77.1", "127.0.77.2"
    async with _listening(edges, second) as (grpc, _):
        options = replace(grpc_options(addresses=listen_addresses([first, second])), port=grpc.port)
        with pytest.raises(SettingsInvalid, match=rf"--grpc-port.*{second}:{grpc.port}: Address already in use"):
            async with grpc_listening((), Keys(), options):
                raise AssertionError("unreachable")
        assert not accepts(first, grpc.port)
