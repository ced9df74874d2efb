"""Object documents: parse their JSON, and render the text that is scored."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import yaml

from rerank_service.errors import InvalidRequest, excerpt
from rerank_service.quantities import counted

MAX_DEPTH = 24
"""Maximum nesting depth of an object, in levels. protobuf's parsers stop at about 30 levels of a Struct."""

_UNLIMITED = 2**31 - 1  # the widest line that libyaml accepts
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's, where built in, is 10x faster


def object_text(value: Mapping[str, Any], rank_fields: Sequence[str], *, field: str) -> str:
    """The text of an object document: its fields as `key: value` lines, in their order.

    A string stands as it is, a nested value as block YAML; `rank_fields` selects and orders, and a single
    field is ranked as its bare value, so that `{"text": t}` scores exactly like `t`. A field that is absent
    or null is left out.

    Raises:
        InvalidRequest: the object has no field to rank, or is nested too deeply; `field` names it.
    """
    names = rank_fields or value.keys()
    chosen = {name: value[name] for name in names if value.get(name) is not None}
    if not chosen:
        wanted = (
            f"none of the rank_fields {excerpt(', '.join(rank_fields))}" if rank_fields else "no field with a value"
        )
        raise InvalidRequest(f"{field} has {wanted}", field=field, reason="empty_document")
    _check_depth(value, field)
    if len(chosen) == 1:
        return _bare(next(iter(chosen.values())))
    return "\n".join(_line(name, part) for name, part in chosen.items())


def _check_depth(value: Mapping[str, Any], field: str) -> None:
    """Also of fields that are not ranked, since the whole object may go back."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for one in level
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise InvalidRequest(
        f"{field} is nested more than {counted(MAX_DEPTH, 'level')} deep", field=field, reason="nested_too_deeply"
    )


def _bare(value: Any) -> str:
    match value:
        case str():
            return value
        case dict() | list():
            return _yaml(value)
        case _:
            return json.dumps(value)


def _line(name: str, value: Any) -> str:
    if isinstance(value, dict | list) and value:
        return _yaml({name: value})
    return f"{name}: {_bare(value)}"


def _yaml(value: Any) -> str:
    """Block YAML of unlimited width, unicode kept."""
    text = _dumped(value, _Dumper)
    if "\\U" in text:  # libyaml escapes what is beyond the basic plane, as emoji are; PyYAML's own writer does not
        text = _dumped(value, yaml.SafeDumper)
    return text.rstrip("\n")


def _dumped(value: Any, dumper: Any) -> str:
    return str(yaml.dump(value, Dumper=dumper, width=_UNLIMITED, allow_unicode=True, sort_keys=False))


def parse_object(text: str | bytes, *, field: str) -> dict[str, Any]:
    """The object that a JSON text holds, keys in the sender's order.

    Raises:
        InvalidRequest: no JSON, or no object; `field` names where it stood.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{field} is not valid JSON: {error}", field=field, reason="invalid_json") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{field} must be a JSON object", field=field, reason="wrong_type")
    return value
