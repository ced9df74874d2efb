"""Fields of a body that look like misspelled ones of its dialect: `topn` instead of `top_n`.

Clients send fields that this server does not know, so an unknown field is no error. But a misspelled field has no
effect, and its sender would never learn it. Reason: docs/decisions/0057-misspelled-fields.md.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel

WARNINGS_HEADER = "x-rerank-warnings"
_MAX_WARNINGS = 5
_MAX_UNKNOWN = 30
"""Unknown fields of an object that are compared with the known ones. A body may have a million fields."""
_MAX_CHARS = 40
"""Length of a field up to which it is compared."""
_LIKENESS = 0.8
"""Ratio of difflib from which two names are alike: `topn` and `top_n` have 0.89, `truncate` and `truncation` 0.78."""
_OTHER_NAMES = {
    "documents": ("docs", "passages", "candidates", "chunks", "items", "results"),
    "query": ("q", "question", "search"),
}
"""Names that callers guess for a required field, although they are not alike."""


def misspelled_fields(body_type: type[BaseModel], body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning for each unknown field that is close to a known one, such as `"topn" is ignored: did you mean
    top_n?`. Names are escaped as in JSON, so that each warning is printable ASCII."""
    return tuple(islice(_warnings(body_type, body, ""), _MAX_WARNINGS))


def nearest_field(body: Mapping[str, Any], missing: str) -> str:
    """Return the field of a body that probably means the field `missing`, as a JSON string; empty if there is none."""
    names = [name for name in islice(body, _MAX_UNKNOWN) if len(name) <= _MAX_CHARS]
    alike = [name for name in names if _nearest(name, [missing])]
    others = [name for name in names if name in _OTHER_NAMES.get(missing, ())]
    return next(map(json.dumps, alike + others), "")


def warnings_header(warnings: Sequence[str]) -> dict[str, str]:
    """Return the header with the warnings, separated by `; `. Without warnings, there is no header."""
    return {WARNINGS_HEADER: "; ".join(warnings)} if warnings else {}


def _warnings(body_type: type[BaseModel], body: Mapping[str, Any], prefix: str) -> Iterator[str]:
    known = _fields(body_type)
    for name in islice((name for name in body if name not in known), _MAX_UNKNOWN):
        nearest = _nearest(name, known) if len(name) <= _MAX_CHARS else None
        if nearest is not None and nearest not in body:
            yield f"{json.dumps(prefix + name)} is ignored: did you mean {prefix}{nearest}?"
    for name, part in known.items():
        value = body.get(name)
        if part is not None and isinstance(value, dict):
            yield from _warnings(part, value, f"{prefix}{name}.")


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str | None:
    """Return the known name that is nearest. Case and underscores count less: `topN` is `top_n`."""
    plain = {_plain(other): other for other in known}
    if (same := plain.get(_plain(name))) is not None:
        return same
    return next(iter(get_close_matches(name, known, n=1, cutoff=_LIKENESS)), None)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


@cache
def _fields(body_type: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the names of the fields in JSON, each with the type of its object, if it is one."""
    return {field.alias or name: _object_type(field.annotation) for name, field in body_type.model_fields.items()}


def _object_type(annotation: Any) -> type[BaseModel] | None:
    """Return the type of an object in an annotation, such as `Parameters | None`."""
    candidates = (annotation, *get_args(annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)
