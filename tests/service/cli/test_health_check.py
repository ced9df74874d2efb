"""The health check of containers, against servers with and without TLS."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import listening as grpc_listening
from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.cli.health_check import HOST, PORTS
from rerank_service.settings import Settings
from support.limits import grpc_options, rest_options
from support.network import needs_ipv6
from support.running import Running, Served
from support.tls import Pems, tls_served, write_pems


def test_defaults_are_those_of_the_settings() -> None:
    """The check does not import the settings, to start fast."""
    names = {f"RERANK_{name.upper()}": name for name in ("grpc_port", "rest_port")}
    assert {variable: Settings.model_fields[name].default for variable, name in names.items()} == PORTS
    assert Settings.model_fields["host"].default == (HOST,)


@asynccontextmanager
async def _listening(edges: Served, *hosts: str) -> AsyncIterator[tuple[int, int]]:
    """Listen on hosts with both protocols, and yield the ports of gRPC and REST."""
    edges.routes.ready = True
    addresses = listen_addresses(hosts)
    async with (
        rest_listening(build_app(edges.routes), rest_options(addresses=addresses)) as rest,
        grpc_listening((), Keys(), grpc_options(addresses=addresses)) as grpc,
    ):
        yield grpc.port, rest.port


async def _check(grpc_port: int, rest_port: int, *flags: str, **variables: str) -> tuple[int, str]:
    """Return the exit status and the message."""
    ports = {"RERANK_GRPC_PORT": str(grpc_port), "RERANK_REST_PORT": str(rest_port)}
    check = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rerank_service.cli.health_check", *flags),
        env=os.environ | ports | variables,
        stderr=asyncio.subprocess.PIPE,
    )
    _, message = await check.communicate()
    assert check.returncode is not None
    return check.returncode, message.decode()


async def test_readiness_and_liveness_differ(edges: Served) -> None:
    """A draining server is live."""
    ports = edges.grpc.port, edges.http.base_url.port or 0
    edges.routes.ready = True
    assert await _check(*ports) == (0, "")
    edges.routes.ready = False
    assert await _check(*ports) == (1, "/health/ready is 503\n")
    assert await _check(*ports, "--live") == (0, "")


async def test_both_ports_are_checked(edges: Served) -> None:
    """The message is one line."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = unused.getsockname()[1]
    status, message = await _check(closed, edges.http.base_url.port or 0, "--live")
    assert (status, message.count("\n")) == (1, 1)
    assert message.startswith("ConnectionRefusedError")


@pytest.mark.parametrize("mutual", [False, True])
async def test_server_with_tls_is_checked(core: Running, tmp_path: Path, mutual: bool) -> None:
    """With the variables of the server. Its certificate serves as that of the check."""
    pems: Pems = write_pems(tmp_path / "tls", trustme.CA())
    variables = pems.variables() | ({"RERANK_TLS_CLIENT_CA": str(pems.ca)} if mutual else {})
    async with tls_served(core, pems.files(client_ca=mutual)) as served:
        assert await _check(served.grpc_port, served.rest_port, **variables) == (0, "")
        status, _ = await _check(served.grpc_port, served.rest_port)
        assert status == 1


@pytest.mark.parametrize(
    ("host", "others"),
    [
        ("0.0.0.0", ()),
        ("127.0.0.2", ()),
        ("127.0.0.2", ("127.0.0.3",)),
        pytest.param("::", (), marks=needs_ipv6),
        pytest.param("::1", (), marks=needs_ipv6),
        pytest.param("[::1]", (), marks=needs_ipv6),
        pytest.param("::1", ("127.0.0.1",), marks=needs_ipv6),
        pytest.param("localhost", (), marks=needs_ipv6),
    ],
    ids=str,
)
async def test_the_first_host_is_checked(edges: Served, host: str, others: tuple[str, ...]) -> None:
    """A server that does not listen on 127.0.0.1 is healthy."""
    async with _listening(edges, host.strip("[]"), *others) as ports:
        assert await _check(*ports, RERANK_HOST=", ".join((host, *others))) == (0, "")


async def test_another_host_is_not_asked(edges: Served) -> None:
    """The server on 127.0.0.1 is not the one whose health is asked for."""
    ports = edges.grpc.port, edges.http.base_url.port or 0
    edges.routes.ready = True
    assert await _check(*ports, RERANK_HOST="") == (0, "")
    status, message = await _check(*ports, RERANK_HOST="127.0.0.2")
    assert (status, message.partition(":")[0]) == (1, "ConnectionRefusedError")


@pytest.mark.parametrize("prefix", ["unix:", "unix://"])
async def test_unix_sockets_are_checked(edges: Served, tmp_path: Path, prefix: str) -> None:
    """They have no ports, and no TLS."""
    async with _listening(edges, f"{prefix}{tmp_path}"):
        variables = {"RERANK_HOST": f"{prefix}{tmp_path}", "RERANK_TLS_CERT": str(tmp_path / "tls.crt")}
        assert await _check(0, 0, **variables) == (0, "")
        (tmp_path / "grpc.sock").unlink()
        status, message = await _check(0, 0, **variables)
        assert (status, message.partition(":")[0]) == (1, "FileNotFoundError")


async def test_unknown_ports_are_rejected() -> None:
    """A port that the system chose cannot be found. The message says what to set."""
    status, message = await _check(1, 0)
    assert status == 1
    assert message == "ValueError: RERANK_REST_PORT is 0, so the port is unknown: set a port from 1 to 65535\n"
