"""TLS of the typed client."""

from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from rerank.client import AsyncRerankClient, RerankClient
from support.running import Running
from support.tls import OWN_CONNECTION, Pems, tls_served, write_pems


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    """Return files that server and client share."""
    return write_pems(tmp_path / "tls", trustme.CA())


@pytest.mark.parametrize("scheme", ["", "grpcs://", "dns:///"])
async def test_files_are_used(core: Running, pems: Pems, scheme: str) -> None:
    """Authority, client certificate and key, as paths or as text."""
    async with tls_served(core, pems.files(client_ca=True)) as served:
        files: dict[str, Any] = {"tls_ca": str(pems.ca), "tls_cert": pems.cert, "tls_key": pems.key}
        address = f"{scheme}localhost:{served.grpc_port}"
        async with AsyncRerankClient(address, options=OWN_CONNECTION, **files) as client:
            assert len(await client.models()) == 1


async def test_several_addresses_need_the_name_in_the_certificates(core: Running, pems: Pems) -> None:
    """gRPC takes their whole list for the name, which no certificate has."""
    async with tls_served(core, pems.files()) as served:
        addresses = [f"grpcs://127.0.0.1:{served.grpc_port}", f"grpcs://127.0.0.2:{served.grpc_port}"]
        with pytest.raises(ValueError, match="several addresses with TLS need the name in the certificates"):
            RerankClient(addresses, tls_ca=str(pems.ca))
        name = ("grpc.ssl_target_name_override", "localhost")
        async with AsyncRerankClient(addresses, tls_ca=str(pems.ca), options=[*OWN_CONNECTION, name]) as client:
            assert len(await client.models()) == 1


async def test_scheme_alone_switches_tls_on(core: Running, pems: Pems) -> None:
    """With the authorities that gRPC includes, which have not issued the certificate of this server."""
    async with tls_served(core, pems.files()) as served:
        # not localhost, which is ::1 too: gRPC reports the error of the address that failed last
        address = f"grpcs://127.0.0.1:{served.grpc_port}"
        async with AsyncRerankClient(address, options=OWN_CONNECTION) as client:
            with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.models()


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
def test_contradictions_are_errors(client: Any, pems: Pems) -> None:
    """At once, and not at the first call."""
    with pytest.raises(ValueError, match="tls_cert and tls_key belong together"):
        client(tls_cert=pems.cert)
    with pytest.raises(ValueError, match="credentials replace tls_ca"):
        client(credentials=grpc.ssl_channel_credentials(), tls_ca=pems.ca)
    with pytest.raises(ValueError, match="grpc://a:1 is without TLS"):
        client("grpc://a:1", tls_ca=pems.ca)
    with pytest.raises(FileNotFoundError, match="missing"):
        client("a:1", tls_ca=pems.ca.with_name("missing"))
