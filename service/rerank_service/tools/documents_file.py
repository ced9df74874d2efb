"""Documents in a file: lines of text, JSON, JSONL, CSV, TSV or Parquet. Errors name the file, the line and the fix.

Rule: the columns have the names and the meaning that they have for `rerank batch`: one column is ranked, the others are
not. Several columns are ranked only if they are named, as an object document.
"""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rerank_service.encoding.object_text import object_text
from rerank_service.errors import FileInvalid, InvalidRequest, SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.json_types import json_type
from rerank_service.surrogates import decode_text
from rerank_service.tools.tables.column_names import shown_columns
from rerank_service.tools.tables.csv_records import csv_header, csv_records, open_csv
from rerank_service.tools.tables.json_array import json_array
from rerank_service.tools.tables.jsonl_records import jsonl_records
from rerank_service.tools.tables.kinds import COLUMN_KINDS, DELIMITERS, kind_of, pyarrow_needed
from rerank_service.tools.tables.opening import open_binary, shown_path

_DOCUMENT_NAMES = ("document", "text")
_ID_NAMES = ("id", "_id")
_INEXACT_FROM = 2.0**63
"""The JSON parser reads integers with more than 64 bits as floats, which are other numbers."""
_NOT_UTF8 = "is not UTF-8 text: convert the file, for example with `iconv -t utf-8`"


@dataclass(frozen=True, slots=True)
class FileDocument:
    """A document of a file."""

    content: str | dict[str, Any]
    """The document as the file has it: a text, or an object with fields."""
    text: str
    """The text that is scored. For an object, that of docs/documents.md."""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentColumns:
    """The columns that are read."""

    documents: tuple[str, ...] = ()
    """Empty: `document`, else `text`. Several: their fields are ranked together, in this order."""
    id: str | None = None
    """None: `id`, else `_id`, if there is one."""

    def chosen(self, names: Sequence[str], place: str) -> "DocumentColumns":
        """Return the columns among those of a file or a row.

        Raises:
            FileInvalid: a column is missing, or is there several times.
        """
        documents = self.documents or tuple(name for name in _DOCUMENT_NAMES if name in names)[:1]
        missing = [name for name in documents if name not in names]
        if not documents or missing:
            wanted = ", ".join(missing) or " or ".join(_DOCUMENT_NAMES)
            raise FileInvalid(
                f"{place}: there is no column {wanted}; there {_listed(names)}: name the column to rank with "
                "--document-column; give it several times to rank several columns"
            )
        if self.id is not None and self.id not in names:
            raise FileInvalid(
                f"{place}: there is no column {self.id}; there {_listed(names)}: name the column with --id-column"
            )
        id_ = self.id or next((name for name in _ID_NAMES if name in names), None)
        if repeated := [name for name in (*documents, id_) if name is not None and names.count(name) > 1]:
            raise FileInvalid(f"{place}: there are several columns {repeated[0]}: give them different names")
        return DocumentColumns(documents, id_)


def kind_of_documents(path: Path, given: str | None) -> str:
    """Return the kind of a file: the given one, else by its name, else lines of text."""
    if given:
        return given
    return "json" if path.name.lower().endswith((".json", ".json.gz")) else kind_of(path) or "txt"


def read_documents(path: Path, kind: str, columns: DocumentColumns) -> Iterator[FileDocument]:
    """Yield the documents of a file, or of standard input for `-`.

    Raises:
        FileInvalid: a row has no document, or the file has another format.
        ExtraMissing: the kind is Parquet, and pyarrow is not installed.
        OSError: the file cannot be read.
    """
    if kind == "txt":
        if columns != DocumentColumns():
            raise SettingsInvalid(
                f"{shown_path(path)} is read as lines of text, which have no columns: give --format "
                f"{'|'.join(COLUMN_KINDS)}, or leave out --document-column and --id-column"
            )
        return _text_documents(path)
    if kind == "json":
        return _json_documents(path, columns)
    if kind == "jsonl":
        return _jsonl_documents(path, columns)
    if kind in DELIMITERS:
        return _csv_documents(path, DELIMITERS[kind], columns)
    return _parquet_documents(path, columns)


def _text_documents(path: Path) -> Iterator[FileDocument]:
    """Yield the lines that are not blank. A line ends with LF or CR LF: other separators may be text."""
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            try:
                text = decode_text(content).removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise FileInvalid(f"{shown_path(path)}:{number}: the line {_NOT_UTF8}") from error
            if text.strip():
                yield FileDocument(text, text)


def _jsonl_documents(path: Path, columns: DocumentColumns) -> Iterator[FileDocument]:
    for record in jsonl_records(path):
        place = f"{shown_path(path)}:{record.number}"
        if record.error:
            raise FileInvalid(f"{place}: {record.error}; correct the line, or give --format txt to rank it as text")
        yield _json_document(record.value, columns, place)


def _json_documents(path: Path, columns: DocumentColumns) -> Iterator[FileDocument]:
    for number, value in enumerate(json_array(path), 1):
        yield _json_document(value, columns, f"{shown_path(path)}: element {number}")


def _json_document(value: Any, columns: DocumentColumns, place: str) -> FileDocument:
    if isinstance(value, str):
        return FileDocument(value, value)
    if isinstance(value, dict):
        return _document(value, columns.chosen(list(value), place), place)
    raise FileInvalid(f"{place}: the value must be a JSON object or a string, not {json_type(value)}")


def _csv_documents(path: Path, delimiter: str, columns: DocumentColumns) -> Iterator[FileDocument]:
    with open_csv(path, delimiter) as reader:
        header = csv_header(reader, path)
        chosen = columns.chosen(header, f"{shown_path(path)}:1")
        for record in csv_records(reader, header):
            place = f"{shown_path(path)}:{record.number}"
            if record.error:
                raise FileInvalid(f"{place}: {record.error}; correct the line")
            yield _document(dict(zip(header, record.value, strict=True)), chosen, place)


def _parquet_documents(path: Path, columns: DocumentColumns) -> Iterator[FileDocument]:
    with pyarrow_needed():
        from rerank_service.tools.tables.parquet_records import open_parquet, parquet_records
    with open_parquet(path) as file:
        chosen = columns.chosen(file.schema_arrow.names, shown_path(path))
        names = [*chosen.documents, *([chosen.id] if chosen.id else [])]
        for record in parquet_records(file, names):
            place = f"{shown_path(path)}: row {record.number}"
            if record.error:
                raise FileInvalid(f"{place}: {record.error}; convert the columns to string")
            values = zip(names, record.value, strict=True)
            yield _document({name: _plain(value, name, place) for name, value in values}, chosen, place)


def _document(row: Mapping[str, Any], columns: DocumentColumns, place: str) -> FileDocument:
    name, *others = columns.documents
    content = {each: row[each] for each in columns.documents} if others else row[name]
    if not isinstance(content, str | dict):
        hint = f": `{command_name()} batch` ranks lists" if isinstance(content, list) else ""
        raise FileInvalid(f"{place}: {name} must be a string or an object, not {json_type(content)}{hint}")
    return FileDocument(content, _text(content, place), _id(row, columns.id, place))


def _text(content: str | dict[str, Any], place: str) -> str:
    if isinstance(content, str):
        return content
    try:
        return object_text(content, (), field=place)
    except InvalidRequest as error:
        raise FileInvalid(str(error)) from error


def _id(row: Mapping[str, Any], name: str | None, place: str) -> str | None:
    """Return the id as text; None if it is absent or empty. Other ids, such as those of MongoDB, are shown as JSON."""
    value = None if name is None or row[name] == "" else row[name]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= _INEXACT_FROM:
        raise FileInvalid(f"{place}: {name} has more than 64 bits and cannot be read exactly: give it as a string")
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError as error:
        raise FileInvalid(f"{place}: {name} cannot be shown as JSON: {error}; choose another --id-column") from error


def _plain(value: Any, name: str, place: str) -> Any:
    """Return a value of a Parquet column as JSON has it, such as a time as a string."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    try:
        return orjson.loads(orjson.dumps(value, default=_text_of))
    except TypeError as error:
        raise FileInvalid(f"{place}: {name} has the type {type(value).__name__}; convert it to string") from error


def _text_of(value: Any) -> str:
    """Return a value that JSON does not have, such as a decimal, as text. Bytes are no text."""
    if isinstance(value, bytes):
        raise TypeError
    return str(value)


def _listed(names: Sequence[str]) -> str:
    return f"are {shown_columns(names) or 'none'}"
