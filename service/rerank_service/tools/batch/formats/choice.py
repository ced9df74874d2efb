"""Choose the format of a job by the names of its files."""

from pathlib import Path

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.batch.formats.csv_format import CsvFormat
from rerank_service.tools.batch.formats.file_format import FileFormat
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.rows import Columns
from rerank_service.tools.tables.kinds import DELIMITERS, kind_of, pyarrow_needed
from rerank_service.tools.tables.opening import is_gzip

_ENDINGS = "a name that ends in .jsonl, .csv, .tsv (each also with .gz) or .parquet"


def format_of(source: Path, target: Path, columns: Columns, *, sort: bool) -> FileFormat:
    """Return the format of an input and its output.

    Raises:
        SettingsInvalid: a name has no known ending, or the formats differ.
        ExtraMissing: the format is Parquet, and pyarrow is not installed.
        FileInvalid: the input has another format.
    """
    kind, compress = _kind(source, "IN"), is_gzip(target)
    if _kind(target, "OUT") != kind:
        raise SettingsInvalid(
            f"IN {source} and OUT {target} have different formats: give OUT a name that ends in .{kind}"
        )
    if sort and kind in DELIMITERS:
        raise SettingsInvalid(f"--sort needs a list of documents per row, which {kind.upper()} does not have")
    if kind == "jsonl":
        return JsonlFormat(source, columns, sort=sort, compress=compress)
    if kind in DELIMITERS:
        return CsvFormat(source, columns, delimiter=DELIMITERS[kind], compress=compress)
    return _parquet(source, columns, sort=sort)


def _parquet(source: Path, columns: Columns, *, sort: bool) -> FileFormat:
    with pyarrow_needed():
        from rerank_service.tools.batch.formats.parquet import ParquetFormat
    return ParquetFormat(source, columns, sort=sort)


def _kind(path: Path, argument: str) -> str:
    kind = kind_of(path)
    if kind is None:
        raise SettingsInvalid(f"{argument} {path} has an unknown format: give {_ENDINGS}")
    return kind
