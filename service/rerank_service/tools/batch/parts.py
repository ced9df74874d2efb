"""Parts: the unit of work that is scored, written and finished as a whole.

The limits of a part depend on the input only, so each run of a job has the same parts, and each part the same batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rerank_service.tools.batch.rows import Row


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries and documents of pairs, in two sequences of one length."""

    queries: Sequence[str]
    documents: Sequence[str]

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True)
class Part:
    """Consecutive rows of the input."""

    number: int
    rows: Sequence[Row]

    @property
    def valid_rows(self) -> list[Row]:
        """The rows that can be scored."""
        return [row for row in self.rows if not row.error]

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of the valid rows, in their order."""
        rows = self.valid_rows
        queries = [row.query for row in rows for _ in row.documents]
        return Pairs(queries, [document for row in rows for document in row.documents])


def split(rows: Iterable[Row], pairs: int) -> Iterator[Part]:
    """Split rows into parts of at least that many pairs or rows; the last part may be smaller. No row is divided."""
    number, size = 0, 0
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        size += max(1, len(row.documents))
        if size >= pairs:
            yield Part(number, waiting)
            number, size, waiting = number + 1, 0, []
    if waiting:
        yield Part(number, waiting)
