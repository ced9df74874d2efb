"""Documents in a file: columns, ids, object documents, and errors with place and fix."""

import gzip
import io
import shutil
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank_service.errors import FileInvalid, SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.tools.documents_file import DocumentColumns, FileDocument, kind_of_documents, read_documents


def _read(path: Path, *documents: str, given: str | None = None, id_: str | None = None) -> list[FileDocument]:
    kind = kind_of_documents(path, given)
    return list(read_documents(path, kind, DocumentColumns(documents, id_)))


def _file(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    data = content.encode()
    path.write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.JSONL", "a.jsonl.gz", "a.JSONL.GZ"])
def test_jsonl_has_the_columns_of_batch(tmp_path: Path, name: str) -> None:
    """`document`, else `text`; `id`, else `_id`. Other columns are not ranked. A line may be a string."""
    path = _file(tmp_path, name, '\ufeff{"document": "a", "text": "no", "id": 7}\n\n{"text": "b", "_id": "x"}\n"c"\n')
    assert _read(path) == [FileDocument("a", "a", "7"), FileDocument("b", "b", "x"), FileDocument("c", "c")]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv.gz", ",")])
def test_tables_have_the_columns_of_batch(tmp_path: Path, name: str, mark: str) -> None:
    """With a byte order mark, and a field with a line break."""
    rows = [("id", "title", "text"), ("1", "t", '"a\nb"'), ("2", "u", "c")]
    path = _file(tmp_path, name, "\ufeff" + "".join(f"{mark.join(row)}\r\n" for row in rows))
    assert _read(path) == [FileDocument("a\nb", "a\nb", "1"), FileDocument("c", "c", "2")]


def test_several_columns_are_an_object_document(tmp_path: Path) -> None:
    """Its text is the one that the server makes of an object, in the order of the options."""
    path = _file(tmp_path, "a.csv", "text,sku,title\nb,s1,A\n")
    content = {"title": "A", "text": "b"}
    assert _read(path, "title", "text", id_="sku") == [FileDocument(content, "title: A\ntext: b", "s1")]


def test_an_object_in_the_column_is_an_object_document(tmp_path: Path) -> None:
    """A single field is scored as its bare value."""
    path = _file(tmp_path, "a.jsonl", '{"document": {"title": "A", "year": 1999}}\n{"document": {"text": "b"}}\n')
    first, second = _read(path)
    assert (first.content, first.text) == ({"title": "A", "year": 1999}, "title: A\nyear: 1999")
    assert second.text == "b"


def test_parquet_columns(tmp_path: Path) -> None:
    """A time in an object document becomes a string, as in JSON."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "id": [1, 2], "day": [date(2026, 1, 2)] * 2}), path)
    assert _read(path) == [FileDocument("a", "a", "1"), FileDocument("b", "b", "2")]
    assert _read(path, "text", "day")[0].text == "text: a\nday: 2026-01-02"
    pq.write_table(pa.table({"document": [{"price": Decimal("1.50"), "day": date(2026, 1, 2)}]}), path)
    assert _read(path)[0].content == {"price": "1.50", "day": "2026-01-02"}


@pytest.mark.parametrize("id_", ["id", "_id", "sku"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet"])
def test_repeated_id_column_is_rejected(tmp_path: Path, name: str, id_: str) -> None:
    """It is not clear which one has the ids. Other columns may be repeated."""
    columns = [id_, "text", id_, "x", "x"]
    if name == "a.parquet":
        path = tmp_path / name
        pq.write_table(pa.Table.from_arrays([pa.array([each]) for each in columns], names=columns), path)
    else:
        mark = "\t" if "tsv" in name else ","
        path = _file(tmp_path, name, f"{mark.join(columns)}\n{mark.join(columns)}\n")
    with pytest.raises(FileInvalid, match=rf"{name}.*: there are several columns {id_}: give them different names"):
        _read(path, id_=id_ if id_ == "sku" else None)
    assert id_ != "sku" or _read(path) == [FileDocument("text", "text")]


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.duration("ns"), pa.time64("ns")], ids=str)
def test_times_with_nanoseconds_are_an_error_of_the_row(tmp_path: Path, kind: pa.DataType) -> None:
    """Python's times have microseconds. Other rows and other columns can be read."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "id": pa.array([1000, 1001], kind)}), path)
    documents = read_documents(path, "parquet", DocumentColumns())
    assert next(documents).text == "a"
    with pytest.raises(FileInvalid, match=r"row 2: the row has a time .* nanoseconds; convert the columns to string"):
        next(documents)


def test_a_time_beyond_the_year_9999_is_an_error_of_the_row(tmp_path: Path) -> None:
    """Python's times end there."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "id": pa.array([2**62], pa.timestamp("us"))}), path)
    with pytest.raises(FileInvalid, match=r"row 1: the row has a time that Python does not have"):
        _read(path)


def test_damage_below_the_footer_is_an_error_of_the_file(tmp_path: Path) -> None:
    """Also while the rows are read."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR1\xff\xff\xff", 1))
    with pytest.raises(FileInvalid, match=r"a\.parquet is not a Parquet file, or damaged: \S"):
        _read(path)


def test_column_names_that_are_not_utf_8_are_an_error_of_the_file(tmp_path: Path) -> None:
    """Arrow reads them, and Python cannot."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "naming": ["b"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"naming", b"n\x96ming"))
    with pytest.raises(FileInvalid, match=r"a\.parquet is not a Parquet file, or damaged: .*0x96"):
        _read(path)


def test_bytes_are_no_document(tmp_path: Path) -> None:
    """Their encoding is unknown."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [b"a"]}), path)
    with pytest.raises(FileInvalid, match=r"a\.parquet: row 1: text has the type bytes; convert it to string"):
        _read(path)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_standard_input(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each format; without --format it is lines of text."""
    table = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), table)
    content = {"jsonl": b'{"text": "a"}', "csv": b"text\na\n", "parquet": table.getvalue()}[kind]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert _read(Path("-"), given=kind) == [FileDocument("a", "a")]
    assert kind_of_documents(Path("-"), None) == "txt"


def test_other_names_are_lines_of_text(tmp_path: Path) -> None:
    """Blank lines are left out. U+2028 and a form feed end no line. --format overrides the name."""
    path = _file(tmp_path, "a.log", "\ufeff{1}\r\n \n2\u2028\x0c3\n")
    assert [document.text for document in _read(path)] == ["{1}", "2\u2028\x0c3"]
    assert [document.text for document in _read(_file(tmp_path, "a.csv", "text\na\n"), given="txt")] == ["text", "a"]


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"body": "b"}', (), "a.jsonl:2: there is no column document or text; there are"),
        ("a.jsonl", '{"text": "a"}\n{"text', (), "a.jsonl:2: the line is not valid JSON: "),
        ("a.jsonl", "5", (), "a.jsonl:1: the value must be a JSON object or a string, not a number"),
        ("a.jsonl", '{"text": null}', (), "a.jsonl:1: text must be a string or an object, not null"),
        ("a.jsonl", '{"document": ["a"]}', (), f"not an array: `{command_name()} batch` ranks lists"),
        ("a.jsonl", '{"document": {}}', (), "a.jsonl:1 has no field with a value"),
        ("a.csv", "a,b\n1,2\n", (), "a.csv:1: there is no column document or text; there are a, b: name the column"),
        ("a.csv", f"{'a,' * 999}b\n", (), f"; there are {'a, ' * 165}a and 834 more: name the column"),
        ("a.jsonl", f'{{"text": "a", "id": {"[" * 300}{"]" * 300}}}', (), "a.jsonl:1: id cannot be shown as JSON: "),
        (
            "a.jsonl",
            f'{{"text": "a", "id": {2**64}}}',
            (),
            "a.jsonl:1: id has more than 64 bits and cannot be read exactly",
        ),
        ("a.json", f'[{{"text": "a", "id": {-(2**63) - 1}}}]', (), "a.json: element 1: id has more than 64 bits"),
        ("a.csv", "a,b\n1,2\n", ("a", "c"), "a.csv:1: there is no column c; there are a, b"),
        ("a.csv", "text,b\n1,2\n3\n", (), "a.csv:3: the line has 1 column, not 2; correct the line"),
        ("a.csv", 'text\n"a', (), "a.csv:2: the line is not valid CSV"),
        ("a.csv", "text,text\n1,2\n", (), "a.csv:1: there are several columns text: give them different names"),
        ("a.csv", "", (), "a.csv:1: there is no column document or text; there are none"),
        ("a.parquet", "text", (), "a.parquet is not a Parquet file"),
    ],
)
def test_errors_name_the_place_and_the_fix(
    tmp_path: Path, name: str, content: str, columns: tuple[str, ...], message: str
) -> None:
    """The first wrong row ends the reading."""
    with pytest.raises(FileInvalid) as caught:
        _read(_file(tmp_path, name, content), *columns)
    assert message in str(caught.value)


def test_missing_id_column_is_named(tmp_path: Path) -> None:
    """Only if it is requested."""
    with pytest.raises(FileInvalid, match=r"a\.csv:1: there is no column sku; .* with --id-column"):
        _read(_file(tmp_path, "a.csv", "text\na\n"), id_="sku")


def test_lines_of_text_have_no_columns(tmp_path: Path) -> None:
    """The message names the formats that have."""
    with pytest.raises(SettingsInvalid, match=r"give --format json\|jsonl\|csv\|tsv\|parquet"):
        _read(_file(tmp_path, "a.txt", "a"), "text")


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "a.json.gz"])
def test_json_array_has_the_columns_of_jsonl(tmp_path: Path, name: str) -> None:
    """Over any number of lines. An element may be a string. A lone surrogate becomes U+FFFD."""
    path = _file(tmp_path, name, '\ufeff[\n {"text": "a",\n  "id": 7},\n "b", "\\ud83d"]\n')
    assert _read(path) == [FileDocument("a", "a", "7"), FileDocument("b", "b"), FileDocument("\ufffd", "\ufffd")]


def test_format_of_a_json_file_can_be_given(tmp_path: Path) -> None:
    """The name is only the default."""
    assert len(_read(_file(tmp_path, "b.json", '"a"\n"b"'), given="jsonl")) == 2
    assert len(_read(_file(tmp_path, "b.txt", '["a", "b"]'), given="json")) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"a"\n"b"\n', "is not valid JSON: .*give --format jsonl if each line is a JSON value"),
        (
            '{"page": 1, "my docs": ["a"]}',
            r"""a JSON array of objects.*, not an object: .*`jq '\.\["my docs"\]' .*a\.json""",
        ),
        ('{"page": 1}', "not an object$"),
        ("3", "not a number$"),
        ('["a", 3]', r"a\.json: element 2: the value must be a JSON object or a string, not a number"),
        ('[{"question": "a"}]', r"a\.json: element 1: there is no column document or text; there are question"),
        ("\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"), "is not valid JSON"),
    ],
    ids=["lines", "object with array", "object", "number", "element", "columns", "bytes"],
)
def test_json_that_is_no_array_of_documents_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    """The message names the file, the element and the fix."""
    with pytest.raises(FileInvalid, match=message):
        _read(_file(tmp_path, "a.json", content))


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
@pytest.mark.parametrize("name", ["documents.json", "documents-array.json", "my docs;.json", "a.json.gz"])
def test_command_for_the_array_of_an_object_keeps_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It names the file as the shell reads it, and writes a new one, also if it runs twice."""
    monkeypatch.chdir(tmp_path)
    path = _file(Path(), name, '{"my docs": ["a", "b"]}')
    content = path.read_bytes()
    for runs in (1, 2):
        with pytest.raises(FileInvalid, match="take out its array with") as caught:
            _read(path)
        subprocess.run(str(caught.value).split("`")[1], shell=True, check=True, timeout=30)
        assert path.read_bytes() == content
        made = [file for file in tmp_path.iterdir() if file.name != name]
        assert len(made) == runs
        assert all([document.text for document in _read(file)] == ["a", "b"] for file in made)


def test_array_of_an_object_in_standard_input_has_a_filter_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program before the pipe has the file."""
    with _file(tmp_path, "a.json", '{"items": ["a"]}').open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(FileInvalid, match=r"""take out its array with `jq '\.\["items"\]'`$"""):
            _read(Path("-"), given="json")


def test_ids_of_64_bits_are_exact(tmp_path: Path) -> None:
    """As other numbers, they are shown as JSON has them."""
    ids = ["18446744073709551615", "-9223372036854775808", "1.5", "0"]
    lines = "\n".join(f'{{"text": "a", "id": {id_}}}' for id_ in ids)
    assert [document.id for document in _read(_file(tmp_path, "a.jsonl", lines))] == ids
