"""Comparison of answers, and the versions that may have given them."""

import random
from pathlib import Path
from typing import Any

import pytest

from torture.equivalence.answers import comparable, difference
from torture.equivalence.grpc_requests import METHODS, grpc_request
from torture.equivalence.rest_requests import rest_request
from torture.equivalence.swaps import Swaps
from torture.equivalence.versions import Versions


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ({"results": [{"index": 0, "score": 0.5}]}, ""),
        ({"results": [{"index": 0, "score": 0.500001}]}, ""),
        ({"results": [{"index": 0, "score": 0.51}]}, ".results[0].score"),
        ({"results": [{"index": 1, "score": 0.5}]}, ".results[0].index"),
        ({"results": []}, ".results"),
        ({"data": []}, "answer"),
    ],
    ids=str,
)
def test_difference_names_its_place(answer: Any, place: str) -> None:
    """Scores may differ by the drift of the engine, and nothing else."""
    found = difference(answer, {"results": [{"index": 0, "score": 0.5}]})
    assert found.partition(":")[0] == place


def test_what_differs_between_two_calls_is_left_out() -> None:
    """Ids of documents stay, and so do all keys of a document."""
    answer = {
        "id": "a",
        "usage": {"prompt_tokens": 3, "padded_tokens": 8},
        "results": [{"index": 0, "id": "d0", "document": {"id": 7, "usage": 1}}],
    }
    results = answer["results"]
    assert comparable(answer, cached=False) == {"usage": {"prompt_tokens": 3}, "results": results}
    assert comparable(answer, cached=True) == {"results": results}


def test_a_request_may_be_answered_by_each_version_that_served_meanwhile() -> None:
    """A version that was replaced before the request was sent does not count."""
    swaps = Swaps(Versions(Path("v1"), Path("v2")))
    before = swaps.begin()
    swaps._possible += [frozenset({0, 1}), frozenset({1})]
    after = swaps.begin()
    assert swaps.versions_since(before) == {0, 1}
    assert swaps.versions_since(after) == {1}


def test_all_forms_occur() -> None:
    """Each dialect, and each method."""
    generator = random.Random(1)
    assert {grpc_request(generator).method for _ in range(100)} == set(METHODS)
    assert len({rest_request(generator).dialect for _ in range(400)}) == 16
