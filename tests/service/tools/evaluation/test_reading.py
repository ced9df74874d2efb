"""Collections in three layouts are one thing, and what is wrong in them is told with its line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.beir import read_beir
from rerank_service.tools.evaluation.collection import Collection, JudgedQuery, Part
from rerank_service.tools.evaluation.jsonl import read_jsonl
from rerank_service.tools.evaluation.trec import Files, read_run, read_trec

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
    """The collection of LINE in BEIR's layout; the run ties a and c, and trec_eval takes the later name first."""
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


def _trec(folder: Path) -> Files:
    _write(folder / "qrels.txt", "7 0 a 2\n7 0 b -1\n7 0 z 3\n7 0 y 0\n9 0 a 1\n")
    _write(folder / "topics.tsv", "7\tone\n8\ttwo\n")
    (folder / "corpus.tsv.gz").write_bytes(gzip.compress(b"a\ttitle 10\nb\t20\r\nc\t30\nunused\t\n"))
    return Files(folder / "run.trec", folder / "qrels.txt", folder / "topics.tsv", folder / "corpus.tsv.gz")


def _shown(collection: Collection) -> object:
    [query] = collection.queries
    return _read(query)


def _read(query: JudgedQuery) -> object:
    return (query.qid, query.text, [(one.id, one.text, one.grade) for one in query.candidates], query.ideal)


def test_a_collection_of_one_file(tmp_path: Path) -> None:
    """In the order of bm25, ties as they stand; grades below 0 count as 0; all judged grades are the ideal."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE))
    collection = read_jsonl(path, Part())
    assert (collection.name, collection.pairs) == ("small", 3)
    candidates = [("b", "20", 0.0), ("a", "title 10", 2.0), ("c", "30", 0.0)]
    assert _shown(collection) == ("7", "one", candidates, (3.0, 2.0, 0.0, 0.0))


def test_without_bm25_the_order_is_the_files(tmp_path: Path) -> None:
    """And without grades the candidates' own are the ideal."""
    documents = [{**one, "bm25": None} for one in LINE["documents"]]
    path = _write(tmp_path / "small.jsonl", _lines({"qid": 7, "query": "one", "documents": documents}))
    [query] = read_jsonl(path, Part()).queries
    assert [one.id for one in query.candidates] == ["a", "b", "c"]
    assert query.ideal == (2.0, 0.0, 0.0)


def test_beir_and_trec_say_the_same(beir: Path) -> None:
    """In the run's order, as trec_eval reads it. An unjudged query is left out; one without candidates counts."""
    candidates = [("b", "20", 0.0), ("c", "30", 0.0), ("a", "title 10", 2.0)]
    for collection in (read_beir(beir, Part()), read_trec("small", _trec(beir), Part())):
        judged, without_candidates = collection.queries
        assert _read(judged) == ("7", "one", candidates, (3.0, 2.0, 0.0, 0.0))
        assert _read(without_candidates) == ("9", "", [], (1.0,))
        assert collection.unjudged == 1


def test_texts_that_are_missing_are_empty(beir: Path) -> None:
    """Of a query and of a candidate; the others of the files are read."""
    _write(beir / "run.trec", "7 Q0 gone 1 2 x\n7 Q0 a 2 1 x\n9 Q0 a 1 1 x\n")
    collection = read_beir(beir, Part())
    first, second = collection.queries
    assert [(candidate.id, candidate.text) for candidate in first.candidates] == [("gone", ""), ("a", "title 10")]
    assert (second.qid, second.text, second.candidates[0].text) == ("9", "", "title 10")
    assert collection.candidates_without_text == 1


def test_an_empty_query_is_no_end_of_a_file(tmp_path: Path) -> None:
    """Without candidates, without text, without judgements: all are read."""
    unjudged = [{"id": "a", "text": ""}]
    path = _write(
        tmp_path / "small.jsonl",
        _lines(
            {"qid": "1", "query": "one", "documents": [], "grades": [2]},
            {"qid": "2", "query": "", "documents": LINE["documents"]},
            {"qid": "3", "query": "three", "documents": unjudged},
        ),
    )
    collection = read_jsonl(path, Part())
    assert [(query.text, len(query.candidates)) for query in collection.queries] == [("one", 0), ("", 3), ("three", 1)]
    assert (collection.queries_without_relevant, collection.candidates_without_text) == (1, 1)


def test_a_part_is_the_best_candidates_of_the_first_queries(tmp_path: Path, beir: Path) -> None:
    """The ideal stays that of all."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE, {**LINE, "qid": "8"}))
    part = Part(depth=2, queries=1)
    for collection in (read_jsonl(path, part), read_beir(beir, part), read_trec("small", _trec(beir), part)):
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
        ({"documents": [{"text": "1"}]}, r"documents\.0\.id: Field required"),
        ({"documents": [{"id": "a", "text": "1"}] * 2}, "two documents have one id"),
        ({"documents": [{"id": "a", "text": "1", "grade": "good"}]}, r"documents\.0\.grade: "),
        ({"documents": [{"id": "a", "text": "1", "grade": 4}]}, "grades lacks some"),
        ({"qid": "7"}, "qid 7 was at .*small.jsonl:1 already"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """Of a collection of one file."""
    path = _write(tmp_path / "small.jsonl", _lines(LINE, {**LINE, "qid": "8", **change}))
    with pytest.raises(FileInvalid, match=rf"small\.jsonl:2: .*{words}"):
        read_jsonl(path, Part())


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("run.trec", "7 Q0 a 1 1\n", r"run\.trec:1: has 5 columns, not 6"),
        ("run.trec", "7 Q0 a 1 high x\n", r"run\.trec:1: 'high' is no number"),
        ("run.trec", "7 Q0 a 1 nan x\n", r"run\.trec:1: 'nan' is no number"),
        ("run.trec", "7 Q0 a 1 2 x\n\n7 Q0 a 2 1 x\n", r"run\.trec:3: a stands twice for query 7"),
        ("run.trec", "8 Q0 a 1 1 x\n", r"none of its queries is judged"),
        ("run.trec", "7 Q0 gone 1 1 x\n", r"corpus\.jsonl: has no text of id gone"),
        ("queries.jsonl", "", r"queries\.jsonl: has no text of id 7"),
        ("queries.jsonl", '{"_id": "7"}\n', r"queries\.jsonl:1: .*text.* required"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7 a 1\n", r"test\.tsv:2: has 1 column, not 3"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n7\ta\tx\n", r"test\.tsv:2: 'x' is no number"),
    ],
)
def test_a_file_that_is_wrong_is_named(beir: Path, file: str, text: str, words: str) -> None:
    """Of BEIR's layout, and so of TREC's."""
    _write(beir / file, text)
    with pytest.raises(FileInvalid, match=words):
        read_beir(beir, Part())


@pytest.mark.parametrize(
    ("file", "words"), [("run.trec", "give a TREC run"), ("corpus.jsonl", "there is no corpus.jsonl")]
)
def test_a_file_that_is_missing_is_named(beir: Path, file: str, words: str) -> None:
    """With what it is for."""
    (beir / file).unlink()
    with pytest.raises(FileInvalid, match=words):
        read_beir(beir, Part())


def test_texts_of_another_form_are_refused(beir: Path) -> None:
    """By their name, and bytes that are no text by their line."""
    files = _trec(beir)
    with pytest.raises(FileInvalid, match=r"\.jsonl or \.tsv"):
        read_trec("x", Files(files.run, files.qrels, files.run, files.corpus), Part())
    (beir / "latin.trec").write_bytes(b"7 Q0 caf\xe9 1 1 x\n")
    with pytest.raises(FileInvalid, match=r"latin\.trec:1: is not UTF-8"):
        read_run(beir / "latin.trec")
