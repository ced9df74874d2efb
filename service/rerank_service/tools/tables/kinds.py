"""Kinds of files, by the endings of their names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_service.errors import ExtraMissing

DELIMITERS = {"csv": ",", "tsv": "\t"}
"""Delimiters of the kinds that are tables of text."""
TABLES = ("jsonl", *DELIMITERS, "parquet")
"""Kinds with columns that are read row by row."""
COLUMN_KINDS = ("json", *TABLES)
"""Kinds with columns. A file of the kind `json` has one array, and is read as a whole."""
KINDS = ("txt", *COLUMN_KINDS)
"""All kinds. A file of the kind `txt` has one text per line."""
_ENDINGS = {"ndjson": "jsonl"}


def kind_of(path: Path) -> str | None:
    """Return the kind of a file with columns by its name, such as `jsonl` for `a.jsonl.gz`; None for other names."""
    name = path.name.lower()
    ending = name.removesuffix(".gz").rpartition(".")[2]
    kind = _ENDINGS.get(ending, ending)
    if kind not in TABLES or (kind == "parquet" and name.endswith(".gz")):
        return None
    return kind


@contextmanager
def pyarrow_needed() -> Iterator[None]:
    """Name the extra that is missing if the block cannot import pyarrow.

    Raises:
        ExtraMissing: pyarrow is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ExtraMissing("pyarrow", "parquet") from error
