"""Parquet tables: valid ones, and ones with columns of any type."""

from collections.abc import Callable, Sequence
from io import BytesIO
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = (0, 1, 7, 2000)
_COMPRESSIONS = ("none", "snappy", "gzip", "zstd", "brotli")
_NAMES = ("query", "document", "documents", "text", "id", "score", "scores", "", "a.b", "\u4e00\u200b", "query")


def plain_table(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a Parquet file with the rows."""
    return _written(pa.Table.from_pylist(list(rows)), compression="snappy")


def any_table(rng: Random) -> bytes:
    """Return a valid Parquet file whose columns have any names and types."""
    count = rng.choice(_ROWS)
    names = ["query", rng.choice(("document", "documents", "text")), *rng.choices(_NAMES, k=rng.randrange(3))]
    usual = pa.array([str(number % 9) for number in range(count)])
    columns = [usual if rng.random() < 0.5 else rng.choice(_COLUMNS)(rng, count) for _ in names]
    return _written(
        pa.Table.from_arrays(columns, names=names),
        compression=rng.choice(_COMPRESSIONS),
        row_group_size=rng.choice((1, 5, 10_000)) if count < 100 else 10_000,
        use_dictionary=rng.random() < 0.5,
        data_page_version=rng.choice(("1.0", "2.0")),
        store_schema=rng.random() < 0.8,
    )


def _written(table: pa.Table, **options: Any) -> bytes:
    file = BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _of(kind: pa.DataType, values: Sequence[Any]) -> Callable[[Random, int], pa.Array]:
    """Return a function that makes a column of a type with some of the values."""
    return lambda rng, count: pa.array([rng.choice(values) for _ in range(count)], kind)


def _not_utf8(rng: Random, count: int) -> pa.Array:
    texts = [rng.choice((b"1", b"\xff", b"\xed\xa0\xbd", b"\0")) for _ in range(count)]
    return pa.Array.from_buffers(pa.string(), count, pa.array(texts, pa.binary()).buffers())


def _dictionary(rng: Random, count: int) -> pa.Array:
    return pa.array([rng.choice(("1", "2 3", None)) for _ in range(count)], pa.string()).dictionary_encode()


def _empty(_rng: Random, count: int) -> pa.Array:
    return pa.nulls(count)


_COLUMNS: tuple[Callable[[Random, int], pa.Array], ...] = (
    _of(pa.string(), ("1", "", "2 3", None)),
    _of(pa.large_string(), ("1", "2 3", None)),
    _of(pa.string_view(), ("1", "2 3")),
    _of(pa.list_(pa.string()), ([], ["1"], ["1", "2"], None, ["1", None])),
    _of(pa.large_list(pa.large_string()), ([], ["1"], None)),
    _of(pa.list_(pa.list_(pa.string())), ([], [["1"]], None)),
    _of(pa.list_(pa.int64()), ([], [1], None)),
    _of(pa.struct([("text", pa.string())]), ({"text": "1"}, None, {"text": None})),
    _of(pa.map_(pa.string(), pa.string()), ([("a", "1")], [], None)),
    _of(pa.binary(), (b"1", b"\xff", None)),
    _of(pa.int64(), (0, -1, 2**63 - 1, None)),
    _of(pa.uint64(), (0, 2**64 - 1)),
    _of(pa.float64(), (0.0, float("nan"), float("-inf"), None)),
    _of(pa.bool_(), (True, False, None)),
    _of(pa.decimal128(38, 10), (0, 1, None)),
    _of(pa.timestamp("ns"), (0, 1, 2**63 - 1, -(2**63) + 1, None)),
    _of(pa.timestamp("us", "Europe/Berlin"), (0, 2**62, None)),
    _of(pa.time64("ns"), (1, None)),
    _of(pa.duration("s"), (0, 2**40, None)),
    _of(pa.date32(), (0, 2**31 - 1, None)),
    _not_utf8,
    _dictionary,
    _empty,
)
