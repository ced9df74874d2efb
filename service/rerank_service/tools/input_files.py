"""Input files of commands, read line by line, plain or gzipped. Errors name the file and the line.

Lone surrogates in the lines become U+FFFD (surrogates.py). A byte order mark, as Windows tools write it, is left out.
"""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from rerank_service.error_text import excerpt
from rerank_service.errors import FileInvalid
from rerank_service.quantities import counted
from rerank_service.surrogates import decode_text, repair_json
from rerank_service.tools.tables.opening import is_gzip

Row = TypeVar("Row", bound=BaseModel)
RowId = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
"""An id: a string, or an integer that is read as a string."""


def read_lines(path: Path, opened: BinaryIO | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield each line that is not blank, with its place FILE:LINE. A name that ends in `.gz` is decompressed.

    `opened` is the file, which is closed at the end. None: it is opened here.

    Raises:
        FileInvalid: the gzip data is damaged.
        OSError: the file cannot be read.
    """
    number = 0
    try:
        with opened or path.open("rb") as raw, gzip.open(raw) if is_gzip(path) else nullcontext(raw) as file:
            for number, read in enumerate(file, 1):
                line = read.removeprefix(BOM_UTF8) if number == 1 else read
                if line.strip():
                    yield f"{path}:{number}", line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileInvalid(f"{path}:{number + 1}: the gzip data is damaged or incomplete: {error}") from error


def read_objects(path: Path, row: type[Row], opened: BinaryIO | None = None) -> Iterator[tuple[str, Row]]:
    """Yield the JSON object of each line, validated as `row`, with its place FILE:LINE. `opened` is as for read_lines.

    Raises:
        FileInvalid: a line is not such an object.
        OSError: the file cannot be read.
    """
    for place, line in read_lines(path, opened):
        try:
            value = _validated(row, line)
        except ValidationError as error:
            raise FileInvalid(f"{place}: {_problem(row, error)}") from error
        yield place, value


def _problem(row: type[BaseModel], error: ValidationError) -> str:
    """Return the fault of a line. If the line has another form, name the fields of a valid one."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    needed = ", ".join(name for name, known in row.model_fields.items() if known.is_required())
    if not field:
        return f"{first['msg']}: each line must be a JSON object with {needed}"
    if first["type"] != "missing":
        return f"{field}: {first['msg']}"
    step = f": each line needs {needed}" if field in row.model_fields else ""
    return f"{field} is required{step}"


def _validated(row: type[Row], line: bytes) -> Row:
    try:
        return row.model_validate_json(line)
    except ValidationError as error:
        repaired = _repaired(line) if error.errors()[0]["type"] == "json_invalid" else None
        if repaired is None:
            raise
    return row.model_validate_json(repaired)


def _repaired(line: bytes) -> str | None:
    with suppress(ValueError):  # not UTF-8: pydantic's message says so
        return repair_json(line)
    return None


def read_columns(path: Path, count: int, *, separator: bytes | None = None) -> Iterator[tuple[str, list[str]]]:
    """Yield the columns of each line, with its place FILE:LINE.

    Columns are split at `separator`, which the last column may contain. Without a separator they are split at white
    space.

    Raises:
        FileInvalid: a line does not have `count` columns, or is not UTF-8.
        OSError: the file cannot be read.
    """
    for place, line in read_lines(path):
        parts = line.split(separator, count - 1) if separator else line.split()
        try:
            texts = [decode_text(part) for part in parts]
        except UnicodeDecodeError as error:
            raise FileInvalid(f"{place}: the line is not UTF-8 text") from error
        if len(texts) != count:
            shown = excerpt(line.decode(errors="replace"))
            raise FileInvalid(f"{place}: the line has {counted(len(texts), 'column')}, not {count}: {shown!r}")
        yield place, texts
