"""Who is let in, and as whom."""

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
def test_a_key_is_found_wherever_clients_send_it(headers: dict[str, str]) -> None:
    """And says whose it is."""
    assert Keys(["open"], [SEARCH]).check(headers) == Caller("search", 3.0)


def test_a_key_without_a_name_is_of_weight_one() -> None:
    """Where it has a name as well, that holds."""
    keys = Keys(["open", "sesame"], [SEARCH])
    assert keys.check({"x-api-key": "open"}) == Caller()
    assert keys.check({"x-api-key": "sesame"}).name == "search"


def test_without_keys_everyone_is_let_in() -> None:
    """Whatever is sent, with a weight of one."""
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
def test_whoever_has_none_is_refused(headers: dict[str, str], words: str) -> None:
    """The digest of a key is no key."""
    with pytest.raises(Unauthenticated, match=words):
        Keys(known=[SEARCH]).check(headers)


def test_keys_are_not_held() -> None:
    """A traceback or a dump of the process's objects shows none."""
    assert "sesame" not in repr(vars(Keys(["sesame"], [SEARCH])))
    assert digest("sesame").hex() not in repr(SEARCH)
