"""The questions of `make bench-highlights`, and how they are read."""

import gzip
import json
from pathlib import Path

from bench.highlights import Found, _chance, _of_collection, _overlaps, _own
from rerank_service.encoding.sentences import sentence_spans


def test_answers_of_our_questions_are_sentences() -> None:
    """The splitter finds exactly the sentences that were written."""
    questions = list(_own())
    assert len(questions) >= 40
    for question in questions:
        spans = sentence_spans(question.passage)
        assert 5 <= len(spans) <= 7
        (answer,) = question.answers
        assert answer in spans, question.text


def test_sentences_of_a_collection_become_a_passage_in_their_order(tmp_path: Path) -> None:
    """A question without an answer is left out."""
    documents = [
        {"id": "d12", "text": "the third.", "grade": 0},
        {"id": "d9", "text": "the first.", "grade": 0},
        {"id": "d10", "text": "the answer.", "grade": 1},
    ]
    path = tmp_path / "questions.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for qid, wanted in enumerate((documents, documents[:2])):
            file.write(json.dumps({"qid": qid, "query": "q", "documents": wanted}) + "\n")
    (question,) = _of_collection(path)
    assert question.passage.split("\n\n")[:3] == ["the first.", "the answer.", "the third."]
    assert [question.passage[start:end] for start, end in question.answers] == ["the answer."]


def test_measures() -> None:
    """Half of an answer is enough; two of four sentences hold one answer in half of the cases."""
    assert _overlaps((0, 10), (5, 15))
    assert not _overlaps((0, 9), (5, 15))
    found = Found(rank=1, in_first_two=False, answers=1, sentences=4, marked_share=0.5)
    assert _chance(found) == 0.5
