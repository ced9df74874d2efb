"""A row of a file, before its columns are chosen."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file."""

    number: int
    """Line of a text file, row of a Parquet file; from 1."""
    raw: Any
    """The row in the form of its format: bytes of a JSONL line, the values of a CSV row, a place in a Parquet file."""
    value: Any = None
    """The row as Python values: the value of a JSONL line, else the values of the columns in their order."""
    error: str = ""
    """Why the row cannot be read; empty for a valid row."""
