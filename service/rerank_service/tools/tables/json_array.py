"""A JSON file with one array, read as a whole. Lone surrogates become U+FFFD (surrogates.py)."""

import codecs
import itertools
import os
import shlex
from pathlib import Path
from typing import Any

import orjson

from rerank_service.errors import FileInvalid
from rerank_service.json_types import json_type
from rerank_service.surrogates import parse_json
from rerank_service.tools.tables.opening import STDIN, is_gzip, open_binary, shown_path

_MAX_KEY_CHARS = 100


def json_array(path: Path) -> list[Any]:
    """Return the elements of the array.

    Raises:
        FileInvalid: the content is not valid JSON, or not an array; or the gzip data is damaged.
        OSError: the file cannot be read.
    """
    with open_binary(path) as file:
        content = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        value = parse_json(content)
    except ValueError as error:
        raise FileInvalid(
            f"{shown_path(path)}: the file is not valid JSON: {error}; correct it, or give --format jsonl if each line "
            "is a JSON value"
        ) from error
    if not isinstance(value, list):
        raise FileInvalid(
            f"{shown_path(path)}: the file must have a JSON array of objects or strings, not "
            f"{json_type(value)}{_array_inside(path, value)}"
        )
    return value


def _array_inside(path: Path, value: Any) -> str:
    """Return the command that takes the array out of an object: the first one, if there is any."""
    fields = value.items() if isinstance(value, dict) else ()
    name = next((name for name, field in fields if isinstance(field, list) and _is_short(name)), None)
    if name is None:
        return ""
    command = f"jq '.[{orjson.dumps(name).decode()}]'"
    if path == STDIN:
        return f": take out its array with `{command}`"
    source = f"< {shlex.quote(str(path))}"
    read = f"gzip -cd {source} | {command}" if is_gzip(path) else f"{command} {source}"
    return f": take out its array with `{read} > {shlex.quote(_new_file(path))}`"


def _new_file(path: Path) -> str:
    """Return the name of a file for the array. No such file exists: the shell empties the target before jq reads."""
    stem = path.name.partition(".")[0] or "documents"
    names = (f"{stem}-array{number}.json" for number in itertools.chain([""], itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


def _is_short(name: str) -> bool:
    return len(name) <= _MAX_KEY_CHARS and name.isprintable() and "'" not in name
