"""Attacks of clients without a key on the REST port."""

import asyncio
import gzip
import ssl
from contextlib import ExitStack, suppress

from torture.stranger import Attack, Target, closed_after, connected, received, send

_GET = b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n"
_POST = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
_BEFORE_THE_KEY = 60_000
"""Bytes of a body that is not complete, below the 64 KiB that are read before the key is checked."""


async def _connections(target: Target, count: int, held: ExitStack, content: bytes = b"") -> str:
    clients = [connected(target.rest, held) for _ in range(count)]
    for client in clients:
        await send(client, content)
    return "kept"


async def idle(target: Target, count: int, held: ExitStack) -> str:
    """Open connections, and send nothing."""
    return await _connections(target, count, held)


async def silent(target: Target, count: int, held: ExitStack) -> str:
    """Wait until connections that send nothing are closed."""
    return await closed_after([connected(target.rest, held) for _ in range(count)][-1])


async def half_header(target: Target, count: int, held: ExitStack) -> str:
    """Send 60 KB of a header without its end."""
    return await _connections(target, count, held, _GET[:-2] % b"/" + b"a: " + b"b" * 60_000)


async def many_headers(target: Target, count: int, held: ExitStack) -> str:
    """Send nearly as many short headers as are accepted, without their end."""
    return await _connections(target, count, held, _GET[:-2] % b"/" + b"a:\r\n" * 190)


async def long_header(target: Target, count: int, held: ExitStack) -> str:
    """Send a header above the limit."""
    client = connected(target.rest, held)
    for _ in range(count):
        await send(client, _GET[:-2] % b"/" + b"a: " + b"b" * 100_000)
    answer = await received(client) or b"closed"
    return answer.partition(b"\r\n")[0].decode()


async def half_body(target: Target, count: int, held: ExitStack) -> str:
    """Send 60 KB of a body without its end."""
    return await _connections(target, count, held, _POST % 65_000 + b"a" * _BEFORE_THE_KEY)


async def _answered(target: Target, count: int, held: ExitStack, request: bytes) -> str:
    """Send requests one after the other, and return the status of the last one."""
    client, answer = connected(target.rest, held), b""
    for _ in range(count):
        await send(client, request)
        answer = await _response(client)
        if not answer:
            client = connected(target.rest, held)
    return answer.partition(b"\r\n")[0].decode() or "closed"


async def _response(client: object) -> bytes:
    answer, size = b"", None
    while size is None or len(answer) < size:
        part = await received(client)  # type: ignore[arg-type]
        if not part:
            return b""
        answer += part
        head, end, _ = answer.partition(b"\r\n\r\n")
        if end:
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            size = len(head) + 4 + (int(lengths[0].partition(b":")[2]) if lengths else 0)
    return answer


async def no_key(target: Target, count: int, held: ExitStack) -> str:
    """Send a small request without a key."""
    body = b'{"query": "a", "documents": ["b"]}'
    return await _answered(target, count, held, _POST % len(body) + body)


async def large_body(target: Target, count: int, held: ExitStack) -> str:
    """Send a body of 60 KB without a key: 20,000 empty documents."""
    body = b'{"query": "a", "documents": [' + b"[]," * 20_000 + b"1]}"
    return await _answered(target, count, held, _POST % len(body) + body)


async def huge_body(target: Target, count: int, held: ExitStack) -> str:
    """Send a body of 30 MB without a key."""
    ended = ""
    for _ in range(count):
        client = connected(target.rest, held)
        sent = await send(client, _POST % 30_000_000 + b"a" * 30_000_000, seconds=5)
        ended = (await received(client) or b"closed").partition(b"\r\n")[0].decode() + ("" if sent else ", not read")
    return ended


async def bomb(target: Target, count: int, held: ExitStack) -> str:
    """Send a body of 30 KB that gzip expands to 30 MB."""
    body = gzip.compress(b'{"query": "' + b"a" * 30_000_000)
    head = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    return await _answered(target, count, held, head + body)


async def look_up(target: Target, count: int, held: ExitStack) -> str:
    """Get a health check."""
    return await _answered(target, count, held, _GET % b"/health/ready")


async def openapi(target: Target, count: int, held: ExitStack) -> str:
    """Get /openapi.json, the largest public response."""
    return await _answered(target, count, held, _GET % b"/openapi.json")


async def openapi_gzip(target: Target, count: int, held: ExitStack) -> str:
    """Get it compressed."""
    return await _answered(target, count, held, (_GET % b"/openapi.json")[:-2] + b"accept-encoding: gzip\r\n\r\n")


async def docs(target: Target, count: int, held: ExitStack) -> str:
    """Get the largest file of /docs."""
    return await _answered(target, count, held, _GET % b"/static-offline-docs/swagger-ui-bundle.js")


async def playground(target: Target, count: int, held: ExitStack) -> str:
    """Get the playground."""
    return await _answered(target, count, held, _GET % b"/")


async def unknown(target: Target, count: int, held: ExitStack) -> str:
    """Get a path that is not served, of 60 KB."""
    return await _answered(target, count, held, _GET % (b"/" + b"a" * 60_000))


async def forwarded(target: Target, count: int, held: ExitStack) -> str:
    """Send 60 KB of addresses of proxies."""
    head = (_GET % b"/v1/models")[:-2] + b"x-forwarded-for: " + b"127.0.0.1," * 6_000 + b"1\r\n\r\n"
    return await _answered(target, count, held, head)


async def no_reader(target: Target, count: int, held: ExitStack) -> str:
    """Ask for /openapi.json on each connection, and read nothing."""
    clients = [connected(target.rest, held, receive_bytes=4096) for _ in range(count)]
    for client in clients:
        await send(client, _GET % b"/openapi.json" * 20, seconds=1)
    return "kept"


async def pipelined(target: Target, count: int, held: ExitStack) -> str:
    """Send many requests at once on a connection, and read nothing."""
    client = connected(target.rest, held, receive_bytes=4096)
    sent = await send(client, _GET % b"/nowhere" * count, seconds=5)
    return "kept" if sent else "not read further"


async def half_handshake(target: Target, count: int, held: ExitStack) -> str:
    """Send the beginning of a TLS handshake."""
    for client in [connected(target.rest, held) for _ in range(count)]:
        await send(client, b"\x16\x03\x01")
    return "kept"


async def handshake(target: Target, count: int, held: ExitStack) -> str:
    """Finish TLS handshakes one after the other."""
    return await tls_handshakes(target.rest, count)


async def tls_handshakes(port: int, count: int) -> str:
    """Connect, finish the handshake, and close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return "finished"


ATTACKS = (
    Attack(title="REST: idle connection", unit="connection", count=500, run=idle),
    Attack(title="REST: connection that sends nothing", unit="connection", count=5, run=silent),
    Attack(title="REST: 60 KB of a header, no end", unit="connection", count=200, run=half_header),
    Attack(title="REST: 190 short headers, no end", unit="connection", count=100, run=many_headers),
    Attack(title="REST: header above 64 KiB", unit="request", count=1, run=long_header),
    Attack(title="REST: 60 KB of a body, no end", unit="connection", count=200, run=half_body),
    Attack(title="REST: request without a key", unit="request", count=500, run=no_key),
    Attack(title="REST: body of 60 KB without a key", unit="request", count=100, run=large_body),
    Attack(title="REST: body of 30 MB without a key", unit="request", count=5, run=huge_body),
    Attack(title="REST: gzip bomb of 30 MB", unit="request", count=20, run=bomb),
    Attack(title="REST: health check", unit="request", count=500, run=look_up),
    Attack(title="REST: /openapi.json", unit="request", count=50, run=openapi),
    Attack(title="REST: /openapi.json with gzip", unit="request", count=50, run=openapi_gzip),
    Attack(title="REST: largest file of /docs", unit="request", count=50, run=docs),
    Attack(title="REST: playground", unit="request", count=200, run=playground),
    Attack(title="REST: unknown path of 60 KB", unit="request", count=100, run=unknown),
    Attack(title="REST: 60 KB of X-Forwarded-For", unit="request", count=100, run=forwarded),
    Attack(title="REST: responses that nobody reads", unit="connection", count=50, run=no_reader),
    Attack(title="REST: pipelined requests, nothing read", unit="request", count=20_000, run=pipelined),
    Attack(title="REST: half TLS handshake", unit="connection", count=500, run=half_handshake, tls=True),
    Attack(title="REST: TLS handshake", unit="handshake", count=100, run=handshake, tls=True),
)
