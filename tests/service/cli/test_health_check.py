"""The health check of containers, against servers with and without TLS."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
import trustme

from rerank_service.cli.health_check import PORTS
from rerank_service.settings import Settings
from support.running import Running, Served
from support.tls import Pems, tls_served, write_pems


def test_default_ports_are_those_of_the_settings() -> None:
    """The check does not import the settings, to start fast."""
    names = {f"RERANK_{name.upper()}": name for name in ("grpc_port", "rest_port")}
    assert {variable: Settings.model_fields[name].default for variable, name in names.items()} == PORTS


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
