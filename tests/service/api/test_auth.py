"""API keys in headers, and the callers they belong to."""

from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

import pytest

from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.errors import ModelNotAllowed, RateLimited, Unauthenticated
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits

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
        {"x-amz-security-token": "sesame"},
        {"authorization": "AWS4-HMAC-SHA256 Credential=any/1, Signature=f0", "x-amz-security-token": "sesame"},
        {"authorization": "ZenApiKey sesame"},
        {"authorization": f"Basic {b64encode(b'any:sesame').decode()}"},
        {"authorization": f"basic {b64encode(b'sesame:').decode()}"},
    ],
)
def test_key_is_found_in_each_header(headers: dict[str, str]) -> None:
    """The caller is the holder of the key."""
    assert Keys(["open"], [SEARCH]).check(headers) == Caller("search", 3.0)


def test_admin_keys_are_known() -> None:
    """A key of --api-keys is none."""
    assert not Keys(["open"], [SEARCH]).has_admin
    assert Keys(["open"], [KnownKey(digest("root"), Caller("ops", admin=True))]).has_admin


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
        ({"authorization": "AWS4-HMAC-SHA256 Credential=sesame/1/us-east-1, Signature=sesame"}, "AWS_SESSION_TOKEN"),
        ({"authorization": "AWS4-ECDSA-P256-SHA256 Credential=sesame"}, "AWS_SESSION_TOKEN"),
        ({"authorization": "AWS4-HMAC-SHA256 sesame", "x-api-key": "wrong"}, "AWS_SESSION_TOKEN"),
        ({"authorization": f"Basic {b64encode(b'sesame:wrong').decode()}"}, "invalid"),
        ({"authorization": f"Basic {b64encode(b'sesame').decode()}"}, "no API key"),
        ({"authorization": "Basic sesame"}, "no API key"),
        ({"authorization": "Basic \u00e9"}, "no API key"),
        ({"authorization": f"Basic {b64encode(bytes([0xFF, 0x3A])).decode()}"}, "no API key"),
        ({"x-api-key": "sesame\u00e9"}, "invalid"),
        ({"x-api-key": digest("sesame").hex()}, "invalid"),
    ],
)
def test_missing_or_wrong_key_is_rejected(headers: dict[str, str], words: str) -> None:
    """The digest of a key is not a key."""
    with pytest.raises(Unauthenticated, match=words):
        Keys(known=[SEARCH]).check(headers)


def test_expired_key_is_rejected_with_its_time() -> None:
    """Its holder has the key, so the message may say that it expired."""
    now = datetime(2027, 1, 31, 23, 0, tzinfo=UTC)
    expires = now + timedelta(hours=1)
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("search"), expires=expires)], now=lambda: now)
    assert keys.check({"x-api-key": "sesame"}).name == "search"
    now = expires
    with pytest.raises(Unauthenticated, match=r"the API key expired at 2027-02-01T00:00:00Z: ask") as caught:
        keys.check({"x-api-key": "sesame"})
    assert caught.value.reason == "expired_api_key"
    with pytest.raises(Unauthenticated, match="invalid API key"):
        keys.check({"x-api-key": "other"})


def test_valid_key_beside_an_expired_one_is_accepted() -> None:
    """A client may send an old key in one header and a new key in another."""
    old = KnownKey(digest("old"), Caller("old"), expires=datetime(2020, 1, 1, tzinfo=UTC))
    keys = Keys(known=[old, SEARCH])
    assert keys.check({"authorization": "Bearer old", "x-api-key": "sesame"}).name == "search"


def test_requests_of_a_key_share_its_counters() -> None:
    """Also after the keys changed, if the name stays. Another name has counters of its own."""
    limits = KeyLimits(concurrent_requests=1)
    changes = [
        None,
        None,
        [KnownKey(digest("new"), Caller("search"), limits), KnownKey(digest("b"), Caller("b"), limits)],
    ]
    keys = Keys(known=[KnownKey(digest("old"), Caller("search"), limits)], changed=lambda: changes.pop(0))
    first, second = (keys.check({"x-api-key": "old"}) for _ in range(2))
    with first.quota.request():
        after = keys.check({"x-api-key": "new"})
        changes.extend([None, None])
        for caller in (second, after):
            with pytest.raises(RateLimited), caller.quota.request():
                pass
        with keys.check({"x-api-key": "b"}).quota.request():
            pass
        with pytest.raises(Unauthenticated):
            keys.check({"x-api-key": "old"})


def test_models_of_a_key() -> None:
    """A key may use a model by any of its names, or all models."""
    assert Caller().may_use(["small"])
    Caller(models=frozenset({"alias"})).check_model(("small", "alias"))
    with pytest.raises(ModelNotAllowed, match=r"may not use model 'small': use a or b$"):
        Caller(models=frozenset({"b", "a"})).check_model(("small",))


def test_keys_are_not_kept_in_memory() -> None:
    """A traceback or a dump of the object shows no key."""
    assert "sesame" not in repr(vars(Keys(["sesame"], [SEARCH])))
    assert digest("sesame").hex() not in repr(SEARCH)


def test_each_check_compares_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """In constant time, and by digests of equal length, so that the time shows nothing about a key. `make key-timing`
    measures it."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr("rerank_service.api.auth.hmac.compare_digest", compare)
    texts = [f"key-{number:02}" for number in range(20)]
    keys = Keys(texts[10:], [KnownKey(digest(text), Caller(text)) for text in texts[:10]])
    digests = sorted(map(digest, texts))
    for sent in (texts[0], texts[9], texts[10], texts[-1], "key-0", "key-00x", "x", "x" * 50_000):
        compared.clear()
        with suppress(Unauthenticated):
            keys.check({"x-api-key": sent})
        assert sorted(other for _, other in compared) == digests
        assert {one for one, _ in compared} == {digest(sent)}
        assert {len(each) for pair in compared for each in pair} == {32}
