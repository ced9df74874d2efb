"""What a reader of documents says when it does not say it itself."""

from rerank_service.api.text_reader import TextReader
from rerank_service.sent_documents import items, measured


def test_a_reader_of_strings_looks_at_one_part_for_each_document() -> None:
    """The number decides whether the lengths are noted in a thread. Long strings cost no more than short ones."""
    assert items(["Berlin", "Madrid " * 1000], TextReader()) == 2


def test_a_document_without_a_query_of_its_own_has_that_of_the_request() -> None:
    assert [document.query_chars for document in measured(["Berlin"], TextReader())] == [None]
