"""Documents as JSON has them: strings and objects, in and out."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rerank_service.encoding.object_text import object_text
from rerank_service.errors import InvalidRequest
from rerank_service.ranking.document import Document, SentDocument

_MEDIA = ("image", "video", "audio")


class JsonReader:
    """Reads documents that are strings or objects."""

    def __init__(self, rank_fields: Sequence[str] = ()) -> None:
        self._rank_fields = rank_fields

    def chars(self, raw: Any) -> int:
        """Return the length of a string; of an object, that of its strings and of the JSON of its other values."""
        if isinstance(raw, dict):
            return sum(len(part) if isinstance(part, str) else _json_chars(part) for part in raw.values())
        return len(raw) if isinstance(raw, str) else 0

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document.

        Raises:
            InvalidRequest: the document is neither a string nor an object with text.
        """
        raw = sent.raw
        if isinstance(raw, str):
            return Document(raw, original=raw, size=sent.chars)
        if isinstance(raw, dict):
            if not self._rank_fields:
                refuse_media(raw, field)
            text = object_text(raw, self._rank_fields, field=field)
            return Document(text, original=raw, size=sent.chars)
        raise InvalidRequest(f"{field} must be a string or an object", field=field, reason="wrong_type")


def _json_chars(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # nested too deeply, which reading it will say, or a number of more than 64 bits
        return 0


def refuse_media(raw: Mapping[str, Any], field: str, *, text_beside: bool = False) -> None:
    """Pictures as vLLM, Jina and NVIDIA take them: ranked as text they would be a URL, which says nothing.

    With `text_beside`, also those that stand beside a text, where that is the dialect's way.

    Raises:
        InvalidRequest: the document is one.
    """
    parts = raw.get("content")
    listed = isinstance(parts, list) and any(
        isinstance(part, dict) and any(kind in str(part.get("type")) for kind in _MEDIA) for part in parts
    )
    named = raw.keys() & set(_MEDIA)
    bare = bool(named) and (text_beside or named == raw.keys())
    if listed or bare:
        raise InvalidRequest(
            f"{field} is a picture, a video or a sound: this server ranks text", field=field, reason="unsupported"
        )


def as_object(original: Any) -> dict[str, Any]:
    """A document as an object that has a string `text`, whatever was sent."""
    if isinstance(original, str):
        return {"text": original}
    return {**original, "text": as_text(original)}


def as_text(original: Any) -> str:
    """A document's own text, or the whole object as compact JSON where it has none."""
    if isinstance(original, str):
        return original
    text = original.get("text")
    return text if isinstance(text, str) else orjson.dumps(original).decode()
