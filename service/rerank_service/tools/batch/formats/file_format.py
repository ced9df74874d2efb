"""The interface of the formats."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rerank_service.tools.batch.rows import Row, ScoredRow


class FileFormat(Protocol):
    """Reads one input file, and writes its rows with scores."""

    unit: str
    """Meaning of a row's number in errors: `line` or `row`."""

    def count_rows(self) -> int:
        """Return the approximate number of rows, for the progress bar. Reads the file."""

    def read(self) -> Iterator[Row]:
        """Yield the rows, one after the other. A row that cannot be scored has an error.

        Raises:
            FileInvalid: the file as a whole is not in this format, or a column is missing.
            OSError: the file cannot be read.
        """

    def encode(self, rows: Sequence[ScoredRow]) -> bytes:
        """Return the content of a part. Equal rows give equal bytes."""

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write a file from the contents of all parts."""
