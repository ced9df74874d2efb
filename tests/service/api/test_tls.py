"""TLS of both servers with real clients: grpcio, httpx and openssl."""

import asyncio
import datetime as dt
import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme

from rerank.client import AsyncRerankClient
from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import listening
from rerank_service.api.tls.store import CertificateStore
from support.limits import grpc_options
from support.running import Running
from support.tls import OWN_CONNECTION, Pems, SecretVolume, TlsServed, tls_served, write_pems

_BODY = {"query": "0", "documents": ["1"]}


@pytest.fixture
def authority() -> trustme.CA:
    """Return the authority of the server's certificate."""
    return trustme.CA()


@pytest.fixture
def pems(tmp_path: Path, authority: trustme.CA) -> Pems:
    """Return the files of the server."""
    return write_pems(tmp_path / "server", authority)


def _context(ca: Path, client: Pems | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(client.cert, client.key)
    return context


async def _grpc(port: int, ca: Path, client: Pems | None = None, host: str = "localhost") -> None:
    """Make one call on a connection of its own."""
    files: dict[str, Any] = {"tls_cert": client.cert, "tls_key": client.key} if client else {}
    async with AsyncRerankClient(f"{host}:{port}", tls_ca=ca, options=OWN_CONNECTION, **files) as connected:
        response = await connected.rerank("0", ["1"])
    assert [result.index for result in response.results] == [0]


async def _rest(port: int, ca: Path, client: Pems | None = None, host: str = "localhost") -> None:
    """Send one request on a connection of its own."""
    async with httpx.AsyncClient(verify=_context(ca, client), timeout=60) as http:
        response = await http.post(f"https://{host}:{port}/v2/rerank", json=_BODY)
    assert response.status_code == 200


async def _both(served: TlsServed, ca: Path, client: Pems | None = None, host: str = "localhost") -> None:
    await _grpc(served.grpc_port, ca, client, host)
    await _rest(served.rest_port, ca, client, host)


async def _both_fail(served: TlsServed, ca: Path, client: Pems | None = None, host: str = "localhost") -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _grpc(served.grpc_port, ca, client, host)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(httpx.TransportError):
        await _rest(served.rest_port, ca, client, host)


async def test_both_protocols_are_encrypted(core: Running, pems: Pems) -> None:
    """By name and by IP address. The URL has https://."""
    async with tls_served(core, pems.files()) as served:
        await _both(served, pems.ca)
        await _both(served, pems.ca, host="127.0.0.1")
        assert served.rest_url == f"https://127.0.0.1:{served.rest_port}"


async def test_connections_without_tls_are_refused(core: Running, pems: Pems) -> None:
    """No port accepts both."""
    async with tls_served(core, pems.files()) as served:
        async with AsyncRerankClient(f"127.0.0.1:{served.grpc_port}", options=OWN_CONNECTION) as client:
            with pytest.raises(grpc.aio.AioRpcError, match=r"UNAVAILABLE"):
                await client.rerank("0", ["1"])
        async with httpx.AsyncClient(timeout=60) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"http://127.0.0.1:{served.rest_port}/health/live")


async def test_clients_reject_another_authority_and_another_name(core: Running, tmp_path: Path, pems: Pems) -> None:
    """The certificate must be for the name that the client asks for."""
    other = write_pems(tmp_path / "other", trustme.CA())
    async with tls_served(core, pems.files()) as served:
        await _both_fail(served, other.ca)
    elsewhere = write_pems(tmp_path / "elsewhere", trustme.CA(), names=("example.com",))
    async with tls_served(core, elsewhere.files()) as served:
        await _both_fail(served, elsewhere.ca)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_of_tls_are_refused(core: Running, pems: Pems, version: ssl.TLSVersion) -> None:
    """TLS 1.2 is the oldest version."""
    context = _context(pems.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    async with tls_served(core, pems.files()) as served:
        for port in (served.grpc_port, served.rest_port):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("localhost", port, ssl=context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_current_versions_of_tls_are_accepted(core: Running, pems: Pems, version: ssl.TLSVersion) -> None:
    """gRPC requires HTTP/2 by ALPN; REST has HTTP/1.1."""
    async with tls_served(core, pems.files()) as served:
        for port, protocol in ((served.grpc_port, "h2"), (served.rest_port, "http/1.1")):
            context = _context(pems.ca)
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await asyncio.open_connection("localhost", port, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol
            writer.close()


async def test_openssl_verifies_both_ports(core: Running, pems: Pems) -> None:
    """A client with another library than Python's or gRPC's module of TLS."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    async with tls_served(core, pems.files()) as served:
        for port in (served.grpc_port, served.rest_port):
            connect = ("-connect", f"localhost:{port}", "-servername", "localhost", "-verify_hostname", "localhost")
            ran = await asyncio.create_subprocess_exec(
                *(openssl, "s_client", *connect, "-CAfile", pems.ca, "-verify_return_error"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            shown, _ = await ran.communicate()
            assert b"Verify return code: 0 (ok)" in shown


async def test_client_certificate_is_required(core: Running, tmp_path: Path, authority: trustme.CA, pems: Pems) -> None:
    """mTLS: one of the right authority, and not an expired one."""
    client = write_pems(tmp_path / "client", authority, names=("caller@example.com",))
    stranger = write_pems(tmp_path / "stranger", trustme.CA(), names=("caller@example.com",))
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    expired = write_pems(tmp_path / "expired", authority, names=("caller@example.com",), not_after=yesterday)
    async with tls_served(core, pems.files(client_ca=True)) as served:
        await _both(served, pems.ca, client)
        for wrong in (None, stranger, expired):
            await _both_fail(served, pems.ca, wrong)
        await _both(served, pems.ca, client)


async def test_client_certificates_of_a_removed_authority_are_refused(
    core: Running, tmp_path: Path, authority: trustme.CA, pems: Pems
) -> None:
    """From the next connection on, also if the client resumes a TLS session from before."""
    old_authority = trustme.CA()
    old = write_pems(tmp_path / "old", old_authority, names=("caller@example.com",))
    new = write_pems(tmp_path / "new", authority, names=("caller@example.com",))
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(old.ca.read_bytes() + pems.ca.read_bytes())
    files = Pems(pems.cert, pems.key, trusted).files(client_ca=True)
    async with tls_served(core, files) as served:
        await _both(served, pems.ca, old)
        context = _context(pems.ca, old)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = await asyncio.to_thread(_session, served.rest_port, context, None)
        trusted.write_bytes(pems.ca.read_bytes())
        await _both_fail(served, pems.ca, old)
        await _both(served, pems.ca, new)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(_session, served.rest_port, context, session)


def _session(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession:
    """Send a request, resume a TLS session if there is one, and return the session for later."""
    with (
        socket.create_connection(("localhost", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
    ):
        secure.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert secure.recv(12) == b"HTTP/1.1 200"
        assert secure.session is not None
        return secure.session


async def test_certificates_change_under_load_without_a_failed_call(
    core: Running, tmp_path: Path, authority: trustme.CA
) -> None:
    """New connections and kept ones, of both protocols, while a Secret is rotated to another authority and back."""
    other = trustme.CA()
    volume = SecretVolume(tmp_path / "secret", authority)
    trusted = tmp_path / "trusted.crt"
    trusted.write_bytes(authority.cert_pem.bytes() + other.cert_pem.bytes())
    async with tls_served(core, volume.pems.files()) as served:
        stop, calls = asyncio.Event(), {"kept": 0, "new": 0}

        async def with_kept_connections() -> None:
            async with (
                AsyncRerankClient(f"localhost:{served.grpc_port}", tls_ca=trusted, options=OWN_CONNECTION) as client,
                httpx.AsyncClient(verify=_context(trusted), base_url=served.rest_url, timeout=60) as http,
            ):
                while not stop.is_set():
                    await client.rerank("0", ["1"])
                    assert (await http.post("/v2/rerank", json=_BODY)).status_code == 200
                    calls["kept"] += 1

        async def with_new_connections() -> None:
            while not stop.is_set():
                await _both(served, trusted)
                calls["new"] += 1

        async with asyncio.TaskGroup() as load:
            load.create_task(with_kept_connections())
            load.create_task(with_new_connections())
            for new in (other, authority) * 3:
                volume.rotate(new)
                before = dict(calls)
                while any(calls[kind] < before[kind] + 2 for kind in calls):
                    await asyncio.sleep(0)
                assert served.store.current().chain == volume.pems.cert.read_bytes()
            stop.set()


async def test_unix_sockets_stay_without_tls(core: Running, tmp_path: Path, pems: Pems) -> None:
    """gRPC clients check the path as the name in the certificate, which no authority issues."""
    folder = tmp_path / "run"
    folder.mkdir()
    addresses = listen_addresses(["127.0.0.1", f"unix:{folder}"])
    async with tls_served(
        core, pems.files(client_ca=True), rest={"addresses": addresses}, addresses=addresses
    ) as served:
        async with AsyncRerankClient(served.grpc.targets[1]) as client:
            await client.rerank("0", ["1"])
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=f"{folder}/rest.sock"), timeout=60) as http:
            assert (await http.post("http://rerank/v2/rerank", json=_BODY)).status_code == 200
        await _both_fail(served, pems.ca)


async def test_each_address_gets_the_new_certificates(pems: Pems) -> None:
    """gRPC reports a change once per address, so each address needs credentials of its own."""
    addresses = listen_addresses(["127.0.0.1", "127.0.0.2"])
    async with listening((), Keys(), grpc_options(addresses=addresses, tls=CertificateStore(pems.files()))) as edge:
        for authority in (trustme.CA(), trustme.CA()):
            write_pems(pems.cert.parent, authority, names=("127.0.0.1", "127.0.0.2"))
            credentials = grpc.ssl_channel_credentials(pems.ca.read_bytes())
            for target in edge.targets:
                async with grpc.aio.secure_channel(target, credentials, OWN_CONNECTION) as channel:
                    await asyncio.wait_for(channel.channel_ready(), 60)
