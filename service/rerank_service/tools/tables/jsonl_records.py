"""JSONL: one JSON value per line. Lone surrogates become U+FFFD (surrogates.py)."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from rerank_service.surrogates import repair_json
from rerank_service.tools.tables.opening import open_binary
from rerank_service.tools.tables.record import Record


def jsonl_records(path: Path) -> Iterator[Record]:
    """Yield the value of each line that is not blank. `raw` is the line without surrounding white space.

    Raises:
        FileInvalid: the gzip data is damaged.
        OSError: the file cannot be read.
    """
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text := text.strip():
                yield _record(number, text)


def _record(number: int, line: bytes) -> Record:
    try:
        line, value = _parsed(line)
    except ValueError as error:
        return Record(number, line, error=f"the line is not valid JSON: {error}")
    return Record(number, line, value)


def _parsed(line: bytes) -> tuple[bytes, Any]:
    """Return a line without lone surrogates, and its value.

    Raises:
        ValueError: the line is not valid JSON, or not UTF-8.
    """
    try:
        return line, orjson.loads(line)
    except orjson.JSONDecodeError:
        repaired = repair_json(line)
        if repaired is None:
            raise
    return repaired.encode(), orjson.loads(repaired)
