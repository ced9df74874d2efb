"""Open files for reading: plain, gzipped, or standard input."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from rerank_service.errors import FileInvalid, SettingsInvalid

STDIN = Path("-")
"""The path that means standard input."""


def shown_path(path: Path) -> str:
    """Return a path for messages."""
    return "standard input" if path == STDIN else str(path)


def is_gzip(path: Path) -> bool:
    """Return whether the content of a file is compressed, by its name."""
    return path.suffix.lower() == ".gz"


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`. A name that ends in `.gz` is decompressed.

    Raises:
        FileInvalid: the gzip data is damaged.
        SettingsInvalid: standard input is closed.
        OSError: the file cannot be read.
    """
    if path == STDIN:
        yield _standard_input()
        return
    opener = gzip.open if is_gzip(path) else open
    try:
        with opener(path, "rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileInvalid(f"{path}: the gzip data is damaged or incomplete: {error}") from error


def _standard_input() -> IO[bytes]:
    if sys.stdin is None:
        raise SettingsInvalid("--file - needs standard input, which is closed")
    return sys.stdin.buffer
