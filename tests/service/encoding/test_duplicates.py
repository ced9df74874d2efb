"""Duplicates among the documents of one request."""

from rerank_service.encoding import duplicates
from rerank_service.encoding.duplicates import Duplicates


def test_first_document_with_a_key_is_the_original() -> None:
    """Later documents with that key are duplicates of it."""
    seen = Duplicates()
    assert [seen.original(key, index) for index, key in enumerate([b"a", b"b", b"a", b"a"])] == [0, 1, 0, 0]


def test_waiting_duplicates_are_returned_once() -> None:
    """They wait for the score of their original."""
    seen = Duplicates()
    seen.wait(0, 2)
    seen.wait(0, 3)
    assert (seen.pop_waiting(0), seen.pop_waiting(0), seen.pop_waiting(1)) == ([2, 3], [], [])


def test_number_of_remembered_keys_is_limited() -> None:
    """After that many distinct documents, the same text is a new original."""
    seen = Duplicates()
    for index in range(duplicates._MAX_KEYS):
        seen.original(index.to_bytes(4), index)
    repeated = duplicates._MAX_KEYS
    assert seen.original((0).to_bytes(4), repeated) == repeated
