"""Collection files: JSONL, BEIR and TREC give the same collection, and errors name the line (jsonl, beir, trec,
text_files)."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.beir import read_beir
from rerank_service.tools.evaluation.collection import Collection, JudgedQuery, Subset
from rerank_service.tools.evaluation.jsonl import read_jsonl
from rerank_service.tools.evaluation.text_files import read_texts
from rerank_service.tools.evaluation.trec import TrecFiles, read_run, read_trec

LINE: dict[str, Any] = {
    "qid": "7",
    "query": "one",
    "documents": [
        {"id": "a", "text": "title 10", "bm25": 1.5, "grade": 2},
        {"id": "b", "text": "20", "bm25": 2.5, "grade": -1},
        {"id": "c", "text": "30", "bm25": 1.5},
    ],
    "grades": [3, 2, 0, -1],
}


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _lines(*values: object) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Write the collection of LINE in BEIR's layout. The run ties a and c; trec_eval puts the later docid first."""
    folder = tmp_path / "beir"
    _write(
        folder / "corpus.jsonl",
        _lines(
            {"_id": "a", "title": "title", "text": "10"},
            {"_id": "unused", "text": ""},
            {"_id": "b", "title": "", "text": "20"},
            {"_id": "c", "text": "30"},
        ),
    )
    _write(folder / "queries.jsonl", _lines({"_id": "7", "text": "one"}, {"_id": "8", "text": "two"}))
    _write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n7\ta\t2\n7\tb\t-1\n7\tz\t3\n7\ty\t0\n9\ta\t1\n")
    _write(folder / "run.trec", "7 Q0 b 1 2.5 x\n7 Q0 a 2 1.5 x\n7 Q0 c 3 1.5 x\n8 Q0 a 1 1 x\n")
    return folder


def _trec(folder: Path) -> TrecFiles:
    _write(folder / "qrels.txt", "7 0 a 2\n7 0 b -1\n7 0 z 3\n7 0 y 0\n9 0 a 1\n")
    _write(folder / "topics.tsv", "7\tone\n8\ttwo\n")
    (folder / "corpus.tsv.gz").write_bytes(gzip.compress(b"a\ttitle 10\nb\t20\r\nc\t30\nunused\t\n"))
    return TrecFiles(
        run=folder / "run.trec",
        qrels=folder / "qrels.txt",
        topics=folder / "topics.tsv",
        corpus=folder / "corpus.tsv.gz",
    )


def _only_query(collection: Collection) -> object:
    [query] = collection.queries
    return _values(query)


def _values(query: JudgedQuery) -> object:
    candidates = [(candidate.id, candidate.text, candidate.grade) for candidate in query.candidates]
    return query.qid, query.text, candidates, query.ideal


def test_jsonl_file_is_read_in_the_order_of_bm25(tmp_path: Path) -> None:
    """Ties keep the order of the file, negative grades count as 0, and `grades` are the ideal."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE))
    collection = read_jsonl(path, Subset())
    assert (collection.name, collection.pairs) == ("small", 3)
    candidates = [("b", "20", 0.0), ("a", "title 10", 2.0), ("c", "30", 0.0)]
    assert _only_query(collection) == ("7", "one", candidates, (3.0, 2.0, 0.0, 0.0))


def test_without_bm25_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    """Without `grades` the candidates' grades are the ideal."""
    documents = [{**document, "bm25": None} for document in LINE["documents"]]
    path = _write(tmp_path / "small.jsonl", _lines({"qid": 7, "query": "one", "documents": documents}))
    [query] = read_jsonl(path, Subset()).queries
    assert [candidate.id for candidate in query.candidates] == ["a", "b", "c"]
    assert query.ideal == (2.0, 0.0, 0.0)


def test_beir_and_trec_give_the_same_collection(beir: Path) -> None:
    """The order is that of the run, as trec_eval reads it. An unjudged query is left out; one without candidates is
    kept."""
    candidates = [("b", "20", 0.0), ("c", "30", 0.0), ("a", "title 10", 2.0)]
    for collection in (read_beir(beir, Subset()), read_trec("small", _trec(beir), Subset())):
        judged, without_candidates = collection.queries
        assert _values(judged) == ("7", "one", candidates, (3.0, 2.0, 0.0, 0.0))
        assert _values(without_candidates) == ("9", "", [], (1.0,))
        assert collection.unjudged == 1


def test_passage_of_ms_marco_v2_has_its_own_id(tmp_path: Path) -> None:
    """Beside it is the id of the document that it is from."""
    line = {"pid": "passage_0", "passage": "10", "spans": "(0,75)", "docid": "doc_0"}
    path = _write(tmp_path / "corpus.jsonl", _lines(line))
    assert read_texts(path, {"passage_0"}) == {"passage_0": "10"}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("texts.tsv", ("a\tone\n", "b\ttwo\n", "a\tone\n", "a\tthree\n")),
        (
            "texts.jsonl",
            tuple(
                _lines({"_id": id_, "title": title, "text": text})
                for id_, title, text in (("a", "", "x"), ("b", "", "y"), ("a", None, "x"), ("a", "z", "x"))
            ),
        ),
    ],
)
def test_id_has_one_text(tmp_path: Path, name: str, lines: tuple[str, ...]) -> None:
    """A line may be repeated. Another text for the same id is an error, unless nobody needs the id."""
    path = _write(tmp_path / name, "".join(lines[:3]))
    assert read_texts(path, {"a", "b"}).keys() == {"a", "b"}
    _write(path, "".join(lines))
    assert read_texts(path, {"b"}).keys() == {"b"}
    with pytest.raises(FileInvalid, match=rf"{name}:4: id a has another text in a line before"):
        read_texts(path, {"a", "b"})


def test_byte_order_mark_belongs_to_no_id(beir: Path) -> None:
    """Windows tools write one."""
    files = _trec(beir)
    expected = read_trec("small", files, Subset())
    for path in (files.run, files.qrels, files.topics):
        _write(path, "\ufeff" + path.read_text())
    assert read_trec("small", files, Subset()) == expected


def test_error_quotes_the_beginning_of_a_long_value(beir: Path) -> None:
    """One line for people."""
    _write(beir / "run.trec", f"7 Q0 a 1 {'/' * 100_000} x\n")
    with pytest.raises(FileInvalid, match=r"run\.trec:1: '/+.*' is not a finite number") as caught:
        read_beir(beir, Subset())
    assert len(str(caught.value)) < 500


def test_scores_of_a_run_that_are_equal_in_32_bits_are_ties(beir: Path) -> None:
    """trec_eval does the same, and takes the later docid first. A number beyond 32 bits is infinity."""
    _write(beir / "run.trec", "7 Q0 a 1 0.123456781 x\n7 Q0 b 2 0.123456780 x\n7 Q0 c 3 1e39 x\n9 Q0 a 1 1 x\n")
    first = read_beir(beir, Subset()).queries[0]
    assert [candidate.id for candidate in first.candidates] == ["c", "b", "a"]


def test_query_is_no_candidate_of_itself_in_a_beir_folder(beir: Path) -> None:
    """BEIR's own evaluation leaves it out, too, before the depth is cut. trec_eval keeps such a document."""
    _write(beir / "run.trec", "7 Q0 7 1 3 x\n7 Q0 b 2 2.5 x\n7 Q0 a 3 1.5 x\n")
    first = read_beir(beir, Subset(depth=2)).queries[0]
    assert [candidate.id for candidate in first.candidates] == ["b", "a"]
    first = read_trec("small", _trec(beir), Subset(depth=2)).queries[0]
    assert [candidate.id for candidate in first.candidates] == ["7", "b"]


def test_repeated_judgement_counts_once(beir: Path) -> None:
    """Files that were joined often have some."""
    files = _trec(beir)
    expected = read_trec("small", files, Subset())
    _write(files.qrels, files.qrels.read_text() + "7 0 a 2.0\n")
    assert read_trec("small", files, Subset()) == expected


def test_missing_texts_are_empty(beir: Path) -> None:
    """A query and a candidate have no text; the other texts are read."""
    _write(beir / "run.trec", "7 Q0 gone 1 2 x\n7 Q0 a 2 1 x\n9 Q0 a 1 1 x\n")
    collection = read_beir(beir, Subset())
    first, second = collection.queries
    assert [(candidate.id, candidate.text) for candidate in first.candidates] == [("gone", ""), ("a", "title 10")]
    assert (second.qid, second.text, second.candidates[0].text) == ("9", "", "title 10")
    assert collection.candidates_without_text == 1


def test_queries_with_empty_fields_are_read(tmp_path: Path) -> None:
    """Queries without candidates, without text and without judgements."""
    unjudged = [{"id": "a", "text": ""}]
    path = _write(
        tmp_path / "small.jsonl",
        _lines(
            {"qid": "1", "query": "one", "documents": [], "grades": [2]},
            {"qid": "2", "query": "", "documents": LINE["documents"]},
            {"qid": "3", "query": "three", "documents": unjudged},
        ),
    )
    collection = read_jsonl(path, Subset())
    assert [(query.text, len(query.candidates)) for query in collection.queries] == [("one", 0), ("", 3), ("three", 1)]
    assert (collection.queries_without_relevant, collection.candidates_without_text) == (1, 1)


def test_subset_has_the_best_candidates_of_the_first_queries(tmp_path: Path, beir: Path) -> None:
    """The ideal is still that of all judged documents."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE, {**LINE, "qid": "8"}))
    subset = Subset(depth=2, queries=1)
    for collection in (read_jsonl(path, subset), read_beir(beir, subset), read_trec("small", _trec(beir), subset)):
        [query] = collection.queries
        assert len(query.candidates) == 2
        assert query.candidates[0].id == "b"
        assert query.ideal == (3.0, 2.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qid": None}, "qid: "),
        ({"query": None}, "query: "),
        ({"documents": None}, "documents: "),
        ({"documents": [{"text": "1"}]}, r"documents\.0\.id is required$"),
        ({"documents": [{"id": "a", "text": "1"}] * 2}, "two documents have the same id"),
        ({"documents": [{"id": "a", "text": "1", "grade": "good"}]}, r"documents\.0\.grade: "),
        ({"documents": [{"id": "a", "text": "1", "grade": 4}]}, "grades must contain the grade of every document"),
        ({"qid": "7"}, "qid 7 repeats .*small.jsonl:1"),
    ],
)
def test_error_names_the_line_of_a_jsonl_file(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """Each wrong field of the second line is reported."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE, {**LINE, "qid": "8", **change}))
    with pytest.raises(FileInvalid, match=rf"small\.jsonl:2: .*{words}"):
        read_jsonl(path, Subset())


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("run.trec", "7 Q0 a 1 1\n", r"run\.trec:1: the line has 5 columns, not 6"),
        ("run.trec", "7 Q0 a 1 high x\n", r"run\.trec:1: 'high' is not a finite number"),
        ("run.trec", "7 Q0 a 1 nan x\n", r"run\.trec:1: 'nan' is not a finite number"),
        ("run.trec", "7 Q0 a 1 2 x\n\n7 Q0 a 2 1 x\n", r"run\.trec:3: document a is listed twice for query 7"),
        ("run.trec", "8 Q0 a 1 1 x\n", r"none of its queries is judged"),
        ("run.trec", "7 Q0 gone 1 1 x\n", r"corpus\.jsonl: none of the 1 ids .* gone"),
        ("queries.jsonl", "", r"queries\.jsonl: none of the 1 ids .* 7"),
        ("queries.jsonl", '{"_id": "7"}\n', r"queries\.jsonl:1: .*text.* required"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7 a 1\n", r"test\.tsv:2: the line has 1 column, not 3"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\ta\tx\n", r"test\.tsv:2: 'x' is not a finite number"),
        (
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\n7\ta\t2\n8\ta\t1\n7\ta\t1\n",
            r"test\.tsv:4: document a has the grade 1 for query 7, and 2 in a line before",
        ),
    ],
)
def test_error_names_the_file_and_line_of_a_beir_folder(beir: Path, file: str, text: str, words: str) -> None:
    """The same readers serve TREC's formats."""
    _write(beir / file, text)
    with pytest.raises(FileInvalid, match=words):
        read_beir(beir, Subset())


@pytest.mark.parametrize(
    ("file", "words"), [("run.trec", "give the candidates as a TREC run"), ("corpus.jsonl", "corpus.jsonl is missing")]
)
def test_missing_file_is_named(beir: Path, file: str, words: str) -> None:
    """The error gives the next step."""
    (beir / file).unlink()
    with pytest.raises(FileInvalid, match=words):
        read_beir(beir, Subset())


def test_unknown_file_name_and_wrong_encoding_are_rejected(beir: Path) -> None:
    """A text file must end in .jsonl or .tsv, and all lines must be UTF-8."""
    files = _trec(beir)
    with pytest.raises(FileInvalid, match=r"\.jsonl or \.tsv"):
        read_trec("x", replace(files, topics=files.run), Subset())
    (beir / "latin.trec").write_bytes(b"7 Q0 caf\xe9 1 1 x\n")
    with pytest.raises(FileInvalid, match=r"latin\.trec:1: the line is not UTF-8"):
        read_run(beir / "latin.trec")
