"""Object documents: parse their JSON, and render the text that is scored."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rerank_service.encoding.content_parts import text_of_parts
from rerank_service.encoding.text_length import is_dense, text_length
from rerank_service.encoding.yaml_text import yaml_text
from rerank_service.error_text import excerpt
from rerank_service.errors import InvalidRequest
from rerank_service.quantities import counted
from rerank_service.ranking.document import TextLength
from rerank_service.surrogates import parse_json

MAX_RANK_FIELDS = 1_000
"""Maximum number of `rank_fields`: each object is looked through for all of them."""
_LINE_CHARS = len(": \n")
_CHARS_OF_ITEM = 1_000
"""Characters of a string that are written as JSON in the time of one item."""
MAX_DEPTH = 24
"""Maximum nesting depth of an object, in levels. The parsers of protobuf stop at about 30 levels of a Struct."""


def check_rank_fields(names: Sequence[str]) -> None:
    """Check the number of `rank_fields`.

    Raises:
        InvalidRequest: there are more than `MAX_RANK_FIELDS`.
    """
    if len(names) > MAX_RANK_FIELDS:
        raise InvalidRequest(
            f"rank_fields has {counted(len(names), 'entry')}; the maximum is {MAX_RANK_FIELDS:,}: name fewer fields",
            field="rank_fields",
        )


def object_text(value: Mapping[str, Any], rank_fields: Sequence[str], *, field: str) -> str:
    """Return the text of an object document: its fields as `key: value` lines, in their order.

    Strings stay unchanged; nested values become block YAML. `rank_fields` selects and orders fields. Absent fields and
    fields that are null are left out. A single field becomes its value without the key, so `{"text": t}` scores exactly
    like `t`. Without `rank_fields`, text parts become their texts. `field` names the document in errors, such as
    `documents[3]`.

    Raises:
        InvalidRequest: the object has no field to rank, or it is nested too deeply.
        CallStopped: the request has ended meanwhile.
    """
    text = None if rank_fields else text_of_parts(value)
    if text is not None:
        _check_depth(value, field)
        return text
    names = rank_fields or value.keys()
    ranked = {name: value[name] for name in names if value.get(name) is not None}
    if not ranked:
        missing = (
            f"none of the rank_fields {excerpt(', '.join(rank_fields))}" if rank_fields else "no field with a value"
        )
        raise InvalidRequest(f"{field} has {missing}", field=field, reason="empty_document")
    _check_depth(value, field)
    if len(ranked) == 1:
        return _bare(next(iter(ranked.values())))
    return "\n".join(_line(name, part) for name, part in ranked.items())


def object_length(value: Mapping[str, Any], rank_fields: Sequence[str]) -> TextLength:
    """Return about the length of `object_text`, without rendering it. Values that are not strings count as JSON. Only
    values decide if it is dense, not keys."""
    parts = None if rank_fields else text_of_parts(value)
    if parts is not None:
        return text_length(parts)
    names = [name for name in rank_fields or value.keys() if value.get(name) is not None]
    keys = sum(map(len, names)) + _LINE_CHARS * len(names) if len(names) > 1 else 0
    text = "".join([_as_text(value[name]) for name in names])
    return TextLength(keys + len(text), is_dense(text))


def object_items(value: Mapping[str, Any], rank_fields: Sequence[str], most: int) -> int:
    """Return about the size of the work of `object_length`: the number of ranked fields, and of the values in them.
    Long strings in them are several. Counting ends at `most`."""
    count = len(rank_fields or value)
    if count >= most:
        return count
    nested = [part for part in map(value.get, rank_fields or value) if isinstance(part, dict | list)]
    while nested and count < most:
        parent = nested.pop()
        count += len(parent)
        if count < most:  # so the time is bounded, too
            parts = parent.values() if isinstance(parent, dict) else parent
            count += sum(len(part) // _CHARS_OF_ITEM for part in parts if isinstance(part, str))
            nested += [part for part in parts if isinstance(part, dict | list)]
    return count


def _as_text(value: Any) -> str:
    """Return a string, or the JSON of another value, without escapes for its characters."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer of more than 64 bits, or nested too deeply, which `object_text` rejects
        return "" if _is_too_deep([value]) else json.dumps(value, ensure_ascii=False)


def _check_depth(value: Mapping[str, Any], field: str) -> None:
    """Check the nesting depth of all fields, ranked or not, since the whole object may be returned.

    Raises:
        InvalidRequest: the object is nested too deeply. The error names `field`.
    """
    if _is_too_deep(value):
        raise InvalidRequest(
            f"{field} is nested more than {counted(MAX_DEPTH, 'level')} deep: send a flatter object",
            field=field,
            reason="nested_too_deeply",
        )


def _is_too_deep(value: Mapping[str, Any] | list[Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for parent in level
            for part in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def _bare(value: Any) -> str:
    match value:
        case str():
            return value
        case dict() | list():
            return yaml_text(value)
        case _:
            return json.dumps(value)


def _line(name: str, value: Any) -> str:
    if isinstance(value, dict | list) and value:
        return yaml_text({name: value})
    return f"{name}: {_bare(value)}"


def parse_object(text: str | bytes, *, field: str) -> dict[str, Any]:
    """Return the object in a JSON text, with its keys in the sender's order. Lone surrogates become
    U+FFFD. `field` names the text in errors.

    Raises:
        InvalidRequest: the text is not valid JSON, or not an object.
    """
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InvalidRequest(f"{field} is not valid JSON: {error}", field=field, reason="invalid_json") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{field} must be a JSON object", field=field, reason="wrong_type")
    return value
