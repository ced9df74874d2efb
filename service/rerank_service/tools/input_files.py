"""Files that commands read line by line, plain or gzipped; what is wrong is told with the file and the line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rerank_service.errors import FileInvalid, excerpt
from rerank_service.quantities import counted

Form = TypeVar("Form", bound=BaseModel)


def lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, each with its place, FILE:LINE.

    Raises:
        FileInvalid: it is damaged.
        OSError: it cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileInvalid(f"{path}:{number + 1}: is not whole: {error}") from error


def objects(path: Path, form: type[Form]) -> Iterator[tuple[str, Form]]:
    """A JSON object a line, as `form` has it, each with its place.

    Raises:
        FileInvalid: a line is none.
        OSError: it cannot be read.
    """
    for place, line in lines(path):
        try:
            value = form.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise FileInvalid(f"{place}: {where and where + ': '}{first['msg']}") from error
        yield place, value


def columns(path: Path, count: int, *, separator: bytes | None = None) -> Iterator[tuple[str, list[str]]]:
    """Lines of so many columns, between blanks or a separator of which the last column may hold more.

    Raises:
        FileInvalid: a line has another number of them, or is not UTF-8.
        OSError: it cannot be read.
    """
    for place, line in lines(path):
        parts = line.split(separator, count - 1) if separator else line.split()
        try:
            texts = [part.decode() for part in parts]
        except UnicodeDecodeError as error:
            raise FileInvalid(f"{place}: is not UTF-8 text") from error
        if len(texts) != count:
            shown = excerpt(line.decode(errors="replace"))
            raise FileInvalid(f"{place}: has {counted(len(texts), 'column')}, not {count}: {shown!r}")
        yield place, texts
