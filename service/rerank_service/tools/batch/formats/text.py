"""Write text files, plain or gzipped."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

_LEVEL = 6


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
