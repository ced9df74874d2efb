"""API keys in headers, and the callers they belong to."""

import pytest

from rerank_service.api.auth import Caller, Keys, KnownKey, digest
from rerank_service.errors import Unauthenticated

SEARCH = KnownKey(digest("sesame"), Caller("search", 3.0))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "bearer  sesame "},
        {"authorization": "sesame"},
        {"x-api-key": "sesame"},
        {"api-key": "sesame"},
        {"authorization": "Bearer any", "x-api-key": "sesame"},
    ],
)
def test_key_is_found_in_each_header(headers: dict[str, str]) -> None:
    """The caller is the holder of the key."""
    assert Keys(["open"], [SEARCH]).check(headers) == Caller("search", 3.0)


def test_key_without_a_name_has_weight_one() -> None:
    """A key that is also in the file has the name from there."""
    keys = Keys(["open", "sesame"], [SEARCH])
    assert keys.check({"x-api-key": "open"}) == Caller()
    assert keys.check({"x-api-key": "sesame"}).name == "search"


def test_without_keys_every_request_is_accepted() -> None:
    """The caller has no name, and weight 1."""
    assert Keys().check({}) == Keys().check({"x-api-key": "any"}) == Caller("", 1.0)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "no API key"),
        ({"authorization": "Bearer "}, "no API key"),
        ({"authorization": "Bearer open sesame"}, "invalid"),
        ({"x-api-key": "Sesame"}, "invalid"),
        ({"x-api-key": "sesame\u00e9"}, "invalid"),
        ({"x-api-key": digest("sesame").hex()}, "invalid"),
    ],
)
def test_missing_or_wrong_key_is_rejected(headers: dict[str, str], words: str) -> None:
    """The digest of a key is not a key."""
    with pytest.raises(Unauthenticated, match=words):
        Keys(known=[SEARCH]).check(headers)


def test_keys_are_not_kept_in_memory() -> None:
    """A traceback or a dump of the object shows no key."""
    assert "sesame" not in repr(vars(Keys(["sesame"], [SEARCH])))
    assert digest("sesame").hex() not in repr(SEARCH)
