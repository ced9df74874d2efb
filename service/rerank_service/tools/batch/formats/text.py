"""Text files, plain or gzipped."""

import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from rerank_service.errors import FileInvalid

_GZIP = ".gz"
_LEVEL = 6


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading. A name that ends in `.gz` is decompressed.

    Raises:
        FileInvalid: the gzip data is damaged.
        OSError: the file cannot be read.
    """
    opener = gzip.open if path.suffix == _GZIP else open
    try:
        with opener(path, "rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileInvalid(f"{path}: the gzip data is damaged or incomplete: {error}") from error


def concatenate(header: bytes, parts: Sequence[Path], target: Path, *, compress: bool) -> None:
    """Write a header and the contents of files into one file. Equal contents give equal bytes, also with gzip."""
    with target.open("wb") as plain:
        if not compress:
            _copy(header, parts, plain)
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=_LEVEL, mtime=0) as packed:
            _copy(header, parts, cast("IO[bytes]", packed))


def _copy(header: bytes, parts: Sequence[Path], target: IO[bytes]) -> None:
    target.write(header)
    for part in parts:
        with part.open("rb") as source:
            shutil.copyfileobj(source, target)
