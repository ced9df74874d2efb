"""Body of a request: read it within its limits, decompress it, and parse its JSON."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

from rerank_service.api.http.content_coding import CONTENT_ENCODING, PIECE_BYTES, CodedBody, Members, codings_of
from rerank_service.api.http.json_parts import parse_text
from rerank_service.api.http.options import MIN_PROGRESS_BYTES
from rerank_service.errors import BodyTooLarge, BodyTooSlow, InvalidRequest
from rerank_service.json_types import json_type
from rerank_service.quantities import counted

_UNAUTHENTICATED_BYTES = 64 * 1024
"""Size up to which a body is read before its API key is checked: the form of a 401 depends on the keys of the body."""
_MIN_PIECE_WORK = 1024
"""Bytes that a smaller piece counts as: a body can have millions of frames or members that are empty."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits of a body. They apply to the sent bytes, and to the decompressed ones."""

    max_bytes: int
    progress_timeout: float
    """Seconds in which at least 1 KiB must arrive, or the rest."""
    check_key: Callable[[], object]
    """Raises Unauthenticated if the request has no valid API key. Called for a body of more than 64 KiB, or with many
    members (content_coding.py)."""

    def check(self, size: int) -> None:
        """Check a number of bytes.

        Raises:
            Unauthenticated: more than 64 KiB, and the request has no valid key.
            BodyTooLarge: more than `max_bytes`.
        """
        if size > _UNAUTHENTICATED_BYTES:
            self.check_key()
        if size > self.max_bytes:
            raise BodyTooLarge(
                f"The body has more than {counted(self.max_bytes, 'byte')}, the limit of the server: "
                "send fewer or shorter documents.",
                reason="body_too_large",
            )


async def read_body(request: Request, limits: BodyLimits) -> bytearray:
    """Return the body, decompressed as `Content-Encoding` says.

    Raises:
        Unauthenticated: the body is longer than 64 KiB or has many members, and the request has no valid key.
        BodyTooLarge: the body exceeds a limit, as sent or decompressed.
        BodyTooSlow: the client sends less than 1 KiB in `progress_timeout` seconds.
        UnsupportedCoding: the server does not support a coding.
        InvalidRequest: the body is not data of its coding.
    """
    parts = _timely(request, limits.progress_timeout)
    members = Members(limits.check_key)
    for coding in reversed(codings_of(request.headers.getlist(CONTENT_ENCODING))):
        parts = _decompressed(parts, CodedBody(coding, members), limits)
    body = bytearray()
    async for part in parts:
        body += part
        limits.check(len(body))
    return body


async def _timely(request: Request, seconds: float) -> AsyncIterator[bytes]:
    """Yield the parts of the body. Unlike `Request.stream`, this knows which one is the last."""
    clock = asyncio.get_running_loop().time
    received, end, more = 0, clock() + seconds, True
    while more:
        try:
            async with asyncio.timeout_at(end):
                message = await request.receive()
        except TimeoutError as error:
            raise BodyTooSlow(
                f"Less than {MIN_PROGRESS_BYTES} bytes of the body arrived in {seconds:g} s: send it faster.",
                reason="body_too_slow",
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        received += len(part)
        if received >= MIN_PROGRESS_BYTES:
            received, end = 0, clock() + seconds
        yield part


async def _decompressed(parts: AsyncIterator[bytes], coded: CodedBody, limits: BodyLimits) -> AsyncIterator[bytes]:
    sent = work = 0
    async for part in parts:
        sent += len(part)
        limits.check(sent)
        for piece in coded.pieces(part):
            yield piece
            work += max(len(piece), _MIN_PIECE_WORK)
            if work >= PIECE_BYTES:
                work = 0
                await asyncio.sleep(0)  # other requests get a turn
    coded.finish()


async def parse_body(body: bytearray) -> Mapping[str, Any]:
    """Return the JSON object of a body. A large one is parsed in parts (json_parts.py). A body that is invalid as sent
    is repaired (surrogates.py). A byte order mark at its beginning is removed: writers of .NET send one.

    Raises:
        InvalidRequest: the body is not a JSON object.
    """
    if body.startswith(codecs.BOM_UTF8):
        del body[: len(codecs.BOM_UTF8)]
    try:
        parsed = await parse_text(body)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", reason="invalid_json") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {json_type(parsed)}.", reason="wrong_type")
    return parsed
