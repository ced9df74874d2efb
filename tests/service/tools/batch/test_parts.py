"""The parts of a job."""

from rerank_service.tools.batch.parts import split
from rerank_service.tools.batch.rows import Row


def test_parts_have_at_least_so_many_pairs_and_divide_no_row() -> None:
    """A row with an error counts as a pair, so that a part of a broken file ends, too."""
    sizes = [1, 1, 1, 5, 2, 1, 0, 0]
    rows = [Row(at, None, "q", ["d"] * size, error="" if size else "broken") for at, size in enumerate(sizes)]
    parts = list(split(rows, 3))
    assert [(part.number, [row.number for row in part.rows]) for part in parts] == [
        (0, [0, 1, 2]),
        (1, [3]),
        (2, [4, 5]),
        (3, [6, 7]),
    ]
    assert [len(part.pairs) for part in parts] == [3, 5, 3, 0]
