"""Compressed bodies over a real port: each coding, stacked ones, bombs and faults."""

import asyncio
import codecs
import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import orjson
import pytest
from starlette.requests import ClientDisconnect, Request

from rerank_service.api.auth import Keys
from rerank_service.api.http.request_body import BodyLimits, read_body
from rerank_service.errors import InvalidRequest, Unauthenticated
from support.http import post, works
from support.running import MAX_MESSAGE_BYTES, Running, Served, served

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BODY = orjson.dumps({"query": "0", "documents": ["1", "2"]})


def _raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


async def _post(edges: Served, content: bytes, coding: str, path: str = "/v2/rerank", **headers: str) -> Any:
    return await post(edges, content, path, **{"content-encoding": coding, **headers})


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzip.compress(_BODY)),
        ("x-gzip", gzip.compress(_BODY)),
        ("deflate", zlib.compress(_BODY)),
        ("deflate", _raw_deflate(_BODY)),
        ("br", brotli.compress(_BODY)),
        ("zstd", zstd.compress(_BODY)),
        ("identity", _BODY),
        ("", _BODY),
        ("gzip, br", brotli.compress(gzip.compress(_BODY))),
        ("identity, zstd, deflate", zlib.compress(zstd.compress(_BODY))),
    ],
    ids=["gzip", "x-gzip", "zlib", "deflate", "br", "zstd", "identity", "none", "gzip, br", "zstd, deflate"],
)
async def test_compressed_body_is_ranked(edges: Served, coding: str, content: bytes) -> None:
    """Codings are applied in the order of the header."""
    response = await _post(edges, content, coding)
    assert response.status_code == 200, response.text
    assert [result["index"] for result in response.json()["results"]] == [1, 0]


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/ranking", "/api/v1/services/rerank/text-rerank/text-rerank", "/"])
async def test_unsupported_coding_is_415(edges: Served, path: str) -> None:
    """Each dialect has the header with the supported codings. The unified error is not of type 400."""
    response = await _post(edges, _BODY, "compress", path)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate, br, zstd")
    assert "invalid_request_error" not in response.text
    assert await works(edges)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_BODY, "The body is not valid gzip data, although Content-Encoding names gzip: compress it, or leave"),
        (gzip.compress(_BODY)[:-1], "The body ends before the end of its gzip data"),
        (gzip.compress(_BODY)[:-8] + b"\0" * 8, "The body is not valid gzip data"),
        (b"", "The body ends before the end of its gzip data"),
        (gzip.compress(b"{"), "The body is not valid JSON"),
    ],
    ids=["uncompressed", "truncated", "corrupt", "empty", "not JSON"],
)
async def test_body_that_is_not_what_its_header_says_is_400(edges: Served, content: bytes, words: str) -> None:
    """The message names the fault."""
    response = await _post(edges, content, "gzip")
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert response.json()["message"].startswith(words)


async def test_lone_surrogate_in_a_compressed_body_is_repaired(edges: Served) -> None:
    """Decompression comes before the repair."""
    assert (await _post(edges, gzip.compress(rb'{"query": "0", "documents": ["\ud83d"]}'), "gzip")).status_code == 200


@pytest.mark.parametrize("blanks", [0, 70_000], ids=["small", "large"])
async def test_byte_order_mark_is_ignored(edges: Served, blanks: int) -> None:
    """RFC 8259, 8.1, allows it. C#'s StreamWriter and files of Windows PowerShell have one."""
    response = await post(edges, codecs.BOM_UTF8 + b" " * blanks + _BODY)
    assert response.status_code == 200, response.text
    assert [result["index"] for result in response.json()["results"]] == [1, 0]


async def test_byte_order_mark_elsewhere_is_invalid(edges: Served) -> None:
    """Only one at the beginning is ignored."""
    for body in (codecs.BOM_UTF8 * 2 + _BODY, _BODY + codecs.BOM_UTF8, codecs.BOM_UTF8):
        response = await post(edges, body)
        assert (response.status_code, response.json()["message"][:26]) == (400, "The body is not valid JSON")


_BOMB_BYTES = 256 * MAX_MESSAGE_BYTES
_CODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("deflate", _raw_deflate),
    ("br", lambda data: brotli.compress(data, quality=1)),
    ("zstd", zstd.compress),
    ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
]


@pytest.mark.parametrize(("coding", "compress"), _CODERS, ids=[coding for coding, _ in _CODERS])
async def test_bomb_is_rejected_before_it_is_in_memory(
    edges: Served, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    """256 MiB in a small body: 413, and the memory of the process stays below a fraction of it."""
    bomb = compress(b" " * _BOMB_BYTES)
    assert len(bomb) < MAX_MESSAGE_BYTES
    tracemalloc.start()
    try:
        response = await _post(edges, bomb, coding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")
    assert peak < 16 * MAX_MESSAGE_BYTES
    assert await works(edges)


async def test_compressed_data_is_limited_too(edges: Served) -> None:
    """A member with a long file name decompresses to nothing. Its compressed bytes count."""
    member = (
        b"\x1f\x8b\x08\x08" + bytes(4) + b"\x00\xff" + b"name" * 250 + b"\x00" + zlib.compress(b"")[2:-4] + bytes(8)
    )
    assert (await _post(edges, member * (MAX_MESSAGE_BYTES // len(member) + 1), "gzip")).status_code == 413
    hidden = gzip.compress(member * (MAX_MESSAGE_BYTES // len(member) + 1))
    assert (await _post(edges, hidden, "gzip, gzip")).status_code == 413


async def test_empty_frames_leave_turns_to_other_requests() -> None:
    """Each frame of zstd costs more time than its nine bytes suggest."""
    frames = zstd.compress(b"") * 6_400 + zstd.compress(b"{}")
    turns = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": frames}

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    request = Request({"type": "http", "headers": [(b"content-encoding", b"zstd")]}, receive)
    other = asyncio.create_task(count_turns())
    assert await read_body(request, BodyLimits(MAX_MESSAGE_BYTES, 30.0, lambda: None)) == b"{}"
    other.cancel()
    assert turns >= 100


async def test_body_of_a_client_that_is_gone() -> None:
    """Its parts are read until then."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    with pytest.raises(ClientDisconnect):
        await read_body(Request({"type": "http", "headers": []}, receive), BodyLimits(100, 30.0, lambda: None))
    assert not messages


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_number_of_members_is_limited(coding: str, compress: Callable[[bytes], bytes]) -> None:
    """Millions of empty ones fit a body, and each costs time."""

    def request(members: int) -> Request:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": compress(b"") * (members - 1) + compress(b"{}")}

        return Request({"type": "http", "headers": [(b"content-encoding", coding.encode())]}, receive)

    limits = BodyLimits(MAX_MESSAGE_BYTES, 30.0, lambda: None)
    assert await read_body(request(10_000), limits) == b"{}"
    with pytest.raises(InvalidRequest, match="more than 10,000 members"):
        await read_body(request(10_001), limits)


async def test_members_of_stacked_codings_are_counted_together() -> None:
    """176 bytes unpack to 8,000 empty frames in each of two codings, and cost 0.25 s. More than 16 need a key."""
    skipped = b"\x50\x2a\x4d\x18\0\0\0\0"

    def request(frames: int) -> Request:
        inner = zstd.compress(skipped * frames + zstd.compress(b"{}"))
        content = gzip.compress(skipped * frames + inner)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content}

        return Request({"type": "http", "headers": [(b"content-encoding", b"zstd, zstd, gzip")]}, receive)

    def refuse() -> None:
        raise Unauthenticated("no key")

    assert await read_body(request(6), BodyLimits(MAX_MESSAGE_BYTES, 30.0, refuse)) == b"{}"
    with pytest.raises(Unauthenticated):
        await read_body(request(7), BodyLimits(MAX_MESSAGE_BYTES, 30.0, refuse))
    with pytest.raises(InvalidRequest, match="more than 10,000 members"):
        await read_body(request(8000), BodyLimits(MAX_MESSAGE_BYTES, 30.0, lambda: None))


async def test_body_without_a_key_is_decompressed_to_64_kib_only(core: Running) -> None:
    """The status is 401, in the form of the body's dialect if it could be read."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await _post(edges, gzip.compress(b" " * 500_000), "gzip")).status_code == 401
        voyage = orjson.dumps({"query": "0", "documents": ["1"], "top_k": 1})
        response = await _post(edges, gzip.compress(voyage), "gzip")
        assert (response.status_code, sorted(response.json())) == (401, ["detail", "message"])
        members = gzip.compress(b"") * 10_000
        assert (await _post(edges, members, "gzip")).status_code == 401
        assert (await _post(edges, members, "gzip", **{"x-api-key": "sesame"})).status_code == 400
