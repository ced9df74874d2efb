"""The channel of the clients: proxies, and options of gRPC."""

import asyncio

import grpc
import pytest

from rerank._channel import channel_options
from rerank.client import AsyncRerankClient, RerankClient
from support.running import Served


async def test_loopback_addresses_bypass_the_proxy(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """If http_proxy is set and no_proxy is not."""
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    port = edges.grpc.port
    for address in (f"127.0.0.1:{port}", f"localhost:{port}", f"dns:///localhost:{port}", f"ipv4:127.0.0.1:{port}"):
        async with AsyncRerankClient(address, timeout=30) as client:
            assert await client.models()
        with RerankClient(address, timeout=30) as blocking:
            assert await asyncio.to_thread(blocking.models)


@pytest.mark.parametrize(
    ("address", "direct"),
    [
        ("localhost", True),
        ("[::1]:50051", True),
        ("127.1.2.3:50051", True),
        ("0.0.0.0:50051", True),
        ("[::]:50051", True),
        ("[::2]:50051", False),
        ("localhost.example.com:50051", False),
        ("127.example.com:50051", False),
        ("dns:///rerank-headless:50051", False),
    ],
)
def test_only_loopback_addresses_bypass_the_proxy(address: str, direct: bool) -> None:
    """Other addresses use the proxy of the environment."""
    assert (("grpc.enable_http_proxy", 0) in channel_options(address, ())) is direct


async def test_channel_options_of_the_caller_override_the_defaults(edges: Served) -> None:
    """In both clients."""
    options = [("grpc.max_receive_message_length", 8)]
    async with AsyncRerankClient(edges.address, options=options) as client:
        with pytest.raises(grpc.RpcError) as caught:
            await client.models()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with RerankClient(edges.address, options=options) as blocking, pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(blocking.models)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
