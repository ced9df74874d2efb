"""Broken, odd, old and endless TLS handshakes on both ports: each connection ends in time, and others are served."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trustme

from rerank.client import AsyncRerankClient
from rerank_service.api.http.options import ConnectionLimits
from support.http2 import START
from support.network import CLOSED_SECONDS
from support.running import Running
from support.tls import OWN_CONNECTION, Pems, TlsServed, tls_served, write_pems

_HEADER_TIMEOUT = 1.0
_SNI = ".".join(["a" * 60] * 3)


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    """Return the files of the server."""
    return write_pems(tmp_path / "server", trustme.CA())


@pytest.fixture
async def served(core: Running, pems: Pems) -> AsyncIterator[TlsServed]:
    """Yield both servers, with a short time for handshakes."""
    limits = ConnectionLimits(100, _HEADER_TIMEOUT, 60.0)
    async with tls_served(
        core, pems.files(), rest={"connections": limits}, header_timeout=_HEADER_TIMEOUT, max_connections=100
    ) as both:
        yield both


def _hello() -> bytes:
    """Return the first message of a handshake, as a client sends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=_SNI).do_handshake()
    return sent.read()


def _record(kind: int, content: bytes, *, version: int = 0x0301, size: int | None = None) -> bytes:
    """Return a TLS record (RFC 8446, section 5.1). `size` is the length that it claims."""
    length = len(content) if size is None else size
    return bytes([kind]) + version.to_bytes(2, "big") + length.to_bytes(2, "big") + content


_HANDSHAKE, _ALERT, _CHANGE = 22, 21, 20


def _in_records(hello: bytes, size: int) -> bytes:
    """Return a handshake message in records of a few bytes each."""
    message = hello[5:]
    return b"".join(_record(_HANDSHAKE, message[at : at + size]) for at in range(0, len(message), size))


def _with_name(name: bytes) -> bytes:
    """Return a hello whose server name is any bytes. The client's library would refuse them."""
    return _hello().replace(_SNI.encode(), name.ljust(len(_SNI), b"a"))


def _broken() -> dict[str, bytes]:
    hello = _hello()
    return {
        "silent": b"",
        "http": b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "http 2": START,
        "garbage": bytes(range(255, 0, -1)) * 257,
        "zeros": bytes(65536),
        "half hello": hello[: len(hello) // 2],
        "one byte": hello[:1],
        "largest record": _record(_HANDSHAKE, b"\1" * 16384),
        "record above the limit": _record(_HANDSHAKE, b"\1" * 65535),
        "half record": _record(_HANDSHAKE, b"\1" * 100, size=16384),
        "hello of 16 MB": _record(_HANDSHAKE, b"\1\xff\xff\xff\3\3" + b"\0" * 16000) * 4,
        "empty records": _record(_HANDSHAKE, b"") * 5000,
        "warnings": _record(_ALERT, b"\1\0") * 5000,
        "changes of the cipher": hello + _record(_CHANGE, b"\1", version=0x0303) * 5000,
        "data before the handshake": _record(23, b"GET / HTTP/1.1\r\n\r\n", version=0x0303),
        "ssl 2": b"\x80\x2e\x01\0\2\0\x15\0\0\0\x10" + b"\1\0\x80" * 7 + b"\0" * 16,
        "ssl 3": _record(_HANDSHAKE, b"\1\0\0\x29\3\0" + b"\7" * 32 + b"\0\0\2\0\x0a\1\0", version=0x0300),
        "hello without answer": hello,
        "hello in records of a byte": _in_records(hello, 1),
        "hello in records of 7 bytes": _in_records(hello, 7),
        "two hellos": hello + hello,
        "name with zero bytes": _with_name(b"local\0host"),
        "name with a line break": _with_name(b"a\r\nx-key: b"),
        "name that is not UTF-8": _with_name(b"\xff\xfe\x80"),
    }


async def _ended(port: int, content: Iterable[bytes]) -> bytes:
    """Send parts of bytes, and return the answer when the server has closed the connection."""
    loop, answer = asyncio.get_running_loop(), b""
    with socket.socket() as client, suppress(ConnectionError):
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sending = asyncio.create_task(_send(client, content))
        try:
            async with asyncio.timeout(CLOSED_SECONDS):
                while part := await loop.sock_recv(client, 65536):
                    answer += part
        finally:
            sending.cancel()
            await asyncio.wait([sending])
    return answer


async def _send(client: socket.socket, content: Iterable[bytes]) -> None:
    with suppress(ConnectionError):
        for part in content:
            await asyncio.get_running_loop().sock_sendall(client, part)
            await asyncio.sleep(0)


async def _still_served(served: TlsServed, ca: Path) -> None:
    """Rank over both protocols, on new connections."""
    async with AsyncRerankClient(f"localhost:{served.grpc_port}", tls_ca=ca, options=OWN_CONNECTION) as client:
        await client.rerank("0", ["1"])
    context = ssl.create_default_context(cafile=ca)
    async with httpx.AsyncClient(verify=context, timeout=60) as http:
        response = await http.post(
            f"https://localhost:{served.rest_port}/v2/rerank", json={"query": "0", "documents": ["1"]}
        )
    assert response.status_code == 200


async def test_broken_handshakes_end_and_harm_nobody(
    served: TlsServed, pems: Pems, caplog: pytest.LogCaptureFixture
) -> None:
    """All at once on both ports. None gets an answer without TLS, and none writes a line into the log."""
    ports, broken = (served.grpc_port, served.rest_port), _broken()
    answers = await asyncio.gather(*(_ended(port, [content]) for port in ports for content in broken.values()))
    assert not any(b"HTTP" in answer for answer in answers)
    assert {answer[:1] for answer in answers} <= {b"", bytes([_HANDSHAKE]), bytes([_ALERT])}
    await _still_served(served, pems.ca)
    assert [record.getMessage() for record in caplog.records] == []


async def test_hello_may_come_byte_by_byte(served: TlsServed, pems: Pems) -> None:
    """The server answers it: networks cut messages anywhere."""
    hello = _hello()
    ports, parts = (served.grpc_port, served.rest_port), [hello[at : at + 1] for at in range(len(hello))]
    answers = await asyncio.gather(*(_ended(port, parts) for port in ports))
    assert [answer[:1] for answer in answers] == [bytes([_HANDSHAKE])] * 2
    await _still_served(served, pems.ca)


async def test_handshake_that_never_ends_is_closed(served: TlsServed, pems: Pems) -> None:
    """More bytes do not extend its time."""

    async def drip(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(asyncio.wait_for(reader.read(), CLOSED_SECONDS))
        records = iter(_in_records(_hello()[:200], 1))
        while not ended.done():
            with suppress(StopIteration, ConnectionError):
                writer.write(bytes([next(records)]))
            await asyncio.wait([ended], timeout=_HEADER_TIMEOUT / 20)
        writer.close()
        with suppress(ConnectionError):
            return ended.result()
        return b""

    await asyncio.gather(drip(served.grpc_port), drip(served.rest_port))
    await _still_served(served, pems.ca)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_weak_ciphers_are_refused(served: TlsServed, pems: Pems) -> None:
    """Ciphers without authentication, without encryption or without forward secrecy, and those that are broken."""
    weak = ("aNULL", "eNULL", "kRSA", "3DES", "RC4", "MD5", "PSK", "SRP", "CAMELLIA")
    context = ssl.create_default_context(cafile=pems.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tried = 0
    for ciphers in weak:
        try:
            context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        except ssl.SSLError:
            continue  # the client's library does not have them at all
        tried += 1
        for port in (served.grpc_port, served.rest_port):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("localhost", port, ssl=context)
    assert tried >= 3
    await _still_served(served, pems.ca)


@pytest.mark.parametrize("name", ["example.com", "xn--bcher-kva.example", "1.2.3.4", "a." * 126 + "a"])
async def test_any_server_name_gets_the_certificate(served: TlsServed, pems: Pems, name: str) -> None:
    """The server has one certificate. The client decides whether the name fits."""
    context = ssl.create_default_context(cafile=pems.ca)
    for port in (served.grpc_port, served.rest_port):
        with pytest.raises(ssl.SSLCertVerificationError, match=r"Hostname mismatch|IP address mismatch"):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)


async def test_clients_cannot_ask_for_new_handshakes(served: TlsServed, pems: Pems) -> None:
    """Each would cost the server the time of a new connection."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    for port, protocol in ((served.grpc_port, "h2"), (served.rest_port, "http/1.1")):
        ran = await asyncio.create_subprocess_exec(
            *(openssl, "s_client", "-connect", f"localhost:{port}", "-tls1_2", "-alpn", protocol, "-CAfile", pems.ca),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert ran.stdin
        assert ran.stdout
        ran.stdin.write(b"R\n")
        shown = await ran.stdout.read()  # at the end of its input, openssl ends before the server's answer
        first, renegotiating, second = shown.partition(b"RENEGOTIATING")
        assert renegotiating
        assert [b"verify return:1" in first, b"verify return" in second] == [True, False]  # a handshake verifies
        assert await ran.wait()
    await _still_served(served, pems.ca)
