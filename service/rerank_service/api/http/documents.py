"""Documents in JSON: read strings and objects, and return them in responses."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rerank_service.encoding.content_parts import text_of_parts
from rerank_service.encoding.object_text import check_rank_fields, object_items, object_length, object_text
from rerank_service.encoding.text_length import text_length
from rerank_service.errors import InvalidRequest
from rerank_service.json_types import json_type
from rerank_service.long_work import MANY_ITEMS
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength

_MEDIA = ("image", "video", "audio")


class JsonReader(Reader):
    """Reads documents that are strings or objects."""

    def __init__(self, rank_fields: Sequence[str] = ()) -> None:
        """`rank_fields` selects and orders the fields of objects.

        Raises:
            InvalidRequest: there are too many of them.
        """
        check_rank_fields(rank_fields)
        self._rank_fields = tuple(dict.fromkeys(rank_fields))

    def length(self, raw: Any) -> TextLength:
        """Return about the length of the text that is scored. Values of an object that are not strings count as
        JSON."""
        if isinstance(raw, dict):
            return object_length(raw, self._rank_fields)
        return text_length(raw if isinstance(raw, str) else "")

    def items(self, raw: Any) -> int:
        """Return about the number of values of an object that are looked at. Counting ends at `MANY_ITEMS`."""
        return object_items(raw, self._rank_fields, MANY_ITEMS) if isinstance(raw, dict) else 1

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document.

        Raises:
            InvalidRequest: the document is neither a string nor an object with text, or it is an image, a video or
                audio. The error names `field`.
        """
        raw = sent.raw
        if isinstance(raw, str):
            return Document(raw, original=raw, size=sent.chars)
        if isinstance(raw, dict):
            if not self._rank_fields:
                reject_media(raw, field)
            return Document(object_text(raw, self._rank_fields, field=field), original=raw, size=sent.chars)
        raise InvalidRequest(
            f"{field} must be a string or an object, not {json_type(raw)}", field=field, reason="wrong_type"
        )


def reject_media(raw: Mapping[str, Any], field: str, *, with_text: bool = False) -> None:
    """Reject an image, a video or audio, in the forms of vLLM, Jina and NVIDIA. As text, it would be only a URL.

    `with_text` also rejects a document that has a text beside the media, as NVIDIA's passages may. A field that is null
    or "" has no media: generated clients send it for a text.

    Raises:
        InvalidRequest: the document is an image, a video or audio. The error names `field`.
    """
    parts = raw.get("content")
    listed = isinstance(parts, list) and any(
        isinstance(part, dict) and isinstance(part.get("type"), str) and any(kind in part["type"] for kind in _MEDIA)
        for part in parts
    )
    named = {kind for kind in _MEDIA if raw.get(kind) not in (None, "")}
    bare = bool(named) and (with_text or named == raw.keys())
    if listed or bare:
        raise InvalidRequest(
            f"{field} is an image, a video or audio: this server ranks text only", field=field, reason="unsupported"
        )


def as_object(original: Any) -> dict[str, Any]:
    """Return a sent document as an object with a string `text`."""
    if isinstance(original, str):
        return {"text": original}
    return {**original, "text": as_text(original)}


def as_text(original: Any) -> str:
    """Return a sent string, the `text` of a sent object, or the text of its content parts. An object without any of
    them is returned as compact JSON."""
    if isinstance(original, str):
        return original
    text = original.get("text", text_of_parts(original))
    return text if isinstance(text, str) else orjson.dumps(original).decode()
