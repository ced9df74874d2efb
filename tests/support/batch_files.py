"""Input files of `rerank batch`, and its rows and scores without a model."""

from pathlib import Path

import numpy as np
import orjson

from rerank_service.tools.batch.formats.file_format import FileFormat
from rerank_service.tools.batch.rows import Row, ScoredRow
from support.small import logit


def small_scored(rows: list[Row]) -> list[ScoredRow]:
    """Return rows with the logits that the small model gives to their documents."""
    logits = [[logit(document) for document in row.documents] for row in rows]
    return [ScoredRow(row, scores, scores) for row, scores in zip(rows, logits, strict=True)]


def rewritten(file_format: FileFormat, target: Path, *, part_rows: int = 2) -> bytes:
    """Read all valid rows of a file, write them in parts, join the parts, and return the bytes of the result."""
    rows = [row for row in file_format.read() if not row.error]
    parts = []
    for start in range(0, len(rows), part_rows):
        parts.append(target.with_name(f"part{start}"))
        parts[-1].write_bytes(file_format.encode(small_scored(rows[start : start + part_rows])))
    file_format.join(parts, target)
    return target.read_bytes()


def errors_of(file_format: FileFormat) -> dict[int, str]:
    """Return the errors of the rows by their numbers."""
    return {row.number: row.error for row in file_format.read() if row.error}


def write_pairs(path: Path, count: int) -> None:
    """Write lines with pairs of words that the small model knows. Each third row has a list of documents."""
    generator = np.random.default_rng(5)
    with path.open("wb") as file:
        for number in range(count):
            words = [" ".join(map(str, generator.integers(0, 9, generator.integers(1, 9)))) for _ in range(3)]
            row = {"documents": words} if number % 3 == 0 else {"document": words[0]}
            file.write(orjson.dumps({"id": number, "query": str(number % 7), **row}) + b"\n")
