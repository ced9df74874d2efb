"""The file of API keys: valid entries, and errors that never quote a key."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rerank_service.api.api_keys_file import _Entry, read_keys
from rerank_service.api.auth import digest
from rerank_service.errors import SettingsInvalid
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits

SECRET = "s3cr3t"


SHA256 = digest(SECRET).hex()


def _file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_entries_are_read(tmp_path: Path) -> None:
    """An entry has a key or its digest. Its weight is optional."""
    content = f"""
    - name: search
      key: {SECRET}
      weight: 3
    - {{name: nightly.batch, sha256: {digest("other").hex().upper()}, weight: 0.5}}
    - name: team/people@example
      key: "0123=:,"
    """
    known = read_keys(_file(tmp_path, content))
    assert [key.digest for key in known] == [digest(SECRET), digest("other"), digest("0123=:,")]
    assert [key.caller for key in known] == [
        Caller("search", 3.0),
        Caller("nightly.batch", 0.5),
        Caller("team/people@example", 1.0),
    ]


def test_limits_are_read(tmp_path: Path) -> None:
    """All are optional. Without them, a key has no limits."""
    content = f"""
    - name: search
      key: {SECRET}
      requests_per_second: 20
      tokens_per_minute: 2000000
      concurrent_requests: 4
      models: [minilm, "bge-m3"]
      expires: 2027-01-31
      admin: true
    - name: other
      key: other
    """
    search, other = read_keys(_file(tmp_path, content))
    assert search.limits == KeyLimits(requests_per_second=20.0, tokens_per_minute=2_000_000, concurrent_requests=4)
    assert (search.caller.models, search.caller.admin) == (frozenset({"minilm", "bge-m3"}), True)
    assert (other.limits, other.expires, other.caller.models, other.caller.admin) == (KeyLimits(), None, None, False)


@pytest.mark.parametrize(
    ("written", "expires"),
    [
        ("2027-01-31", datetime(2027, 1, 31, 23, 59, 59, 999_999, UTC)),
        ("'2027-01-31'", datetime(2027, 1, 31, 23, 59, 59, 999_999, UTC)),
        ("9999-12-31", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31 12:00:00 +02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ('"2027-01-31T12:00:00+02:00"', datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ('"2027-01-31t12:00:00z"', datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ('"2027-01-31 12:00:00Z"', datetime(2027, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_expiry_is_a_day_or_a_time(tmp_path: Path, written: str, expires: datetime) -> None:
    """A date is the last day, in UTC. A time has a time zone. Both may be in quotes, as in JSON."""
    [key] = read_keys(_file(tmp_path, f"- {{name: a, key: {SECRET}, expires: {written}}}"))
    assert key.expires == expires


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"- name: a\n  key: {SECRET}\n  key: b", "entry 1, line 3: has key twice"),
        (f"- name: a\n  'key': b\n\n  \"key\": {SECRET}", "entry 1, line 4: has key twice"),
        (f'[{{"name": "a",\n\t"key": "{SECRET}",\n\t"key": "b"}}]', "entry 1, line 3: has key twice"),
        (f"- {{name: b, key: c}}\n- {SECRET}: 1\n  {SECRET}: 1", "entry 2, line 3: has a field twice"),
        (f"- name: a\n  key: {SECRET}\n  wait: 3", "entry 1, line 3: has an unknown field: the fields are name, key, "),
        (f'[{{"name": "a", "key": "{SECRET}",\n\t"wait": 3}}]', "entry 1, line 2: has an unknown field"),
        (f"- {{name: b, key: c}}\n- name: a\n  key: {SECRET}\n  weight: 0", "entry 2, line 4: weight must be"),
    ],
)
def test_error_names_the_line(tmp_path: Path, content: str, words: str) -> None:
    """Of the field, also in JSON. A field that is there twice is an error, because one of them would be ignored."""
    with pytest.raises(SettingsInvalid, match=words) as caught:
        read_keys(_file(tmp_path, content))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        (
            "requests_per_second",
            ["0", "-1", "1e9", "'5'", "true", "null", ""],
            "must be a number from 0.001 to 1,0",
        ),
        (
            "tokens_per_minute",
            ["0", "1.5", "'5'", "true", "null", ""],
            "must be a whole number from 1 to 1,000",
        ),
        ("concurrent_requests", ["0", "1.5", "2000000", "'5'", "null"], "must be a whole number from 1 to 1,000,000"),
        ("models", ["[]", "minilm", "['']", "[1]", "null", ""], "must be a list of model names, at least one"),
        (
            "expires",
            ["soon", "2027", "2027-01-31T12:00:00", "'2027-02-31'", "null", "", "[]"],
            "must be a date, such as 2027-01-31, or a time with a time zone",
        ),
        ("admin", ["1", "'yes'", "null"], "must be true or false"),
    ],
)
def test_wrong_limits_are_rejected(tmp_path: Path, field: str, values: list[str], words: str) -> None:
    """The message has the allowed values. An empty value must not mean that there is no limit."""
    for value in values:
        with pytest.raises(SettingsInvalid, match=f"entry 1, line 3: {field} {words}"):
            read_keys(_file(tmp_path, f"- name: a\n  key: {SECRET}\n  {field}: {value}"))


def test_example_of_the_documentation_is_accepted(tmp_path: Path) -> None:
    """It has every field, and the table describes each."""
    page = (Path(__file__).parents[3] / "docs" / "keys.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert [key.caller.name for key in read_keys(_file(tmp_path, example))] == ["search", "nightly-batch", "operator"]
    for field in _Entry.model_fields:
        assert f"{field}: " in example
        assert f"| `{field}` |" in page


def test_entries_may_share_fields(tmp_path: Path) -> None:
    """By `<<` of YAML. A field of the entry replaces the shared one."""
    content = f"- &a {{name: a, key: {SECRET}, weight: 2}}\n- {{<<: *a, name: b, key: other}}"
    assert [key.caller for key in read_keys(_file(tmp_path, content))] == [Caller("a", 2.0), Caller("b", 2.0)]


def test_json_is_read(tmp_path: Path) -> None:
    """JSON with tabs is not valid YAML, but is read."""
    content = json.dumps([{"name": "a", "key": SECRET, "weight": 2}], indent="\t")
    assert read_keys(_file(tmp_path, content))[0].caller == Caller("a", 2.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "keys.yaml': the file must be a list"),
        ("[]", "has no entry"),
        (f"{SECRET}", "must be a list"),
        (f"{SECRET}: 3", "must be a list"),
        (f"- {SECRET}", r"entry 1, line \d: must be an entry"),
        (f"- {{name: a, key: {SECRET}}}\n- {SECRET}: 3", "entry 2"),
        (f"- name: a\n  {SECRET}: 3", r"entry 1, line \d: has an unknown field"),
        ("- name: a\n  123: 3", r"entry 1, line \d: has a field whose name is not text$"),
        (f"- key: {SECRET}", r"entry 1, line \d: name is missing"),
        ("- name: a", r"entry 1, line \d: set either key or sha256"),
        ("- {name: a, key: null}", "set either"),
        (f"- {{name: a, key: {SECRET}, sha256: {SHA256}}}", "not both"),
        (f"- {{name: 'a {SECRET}', key: b}}", r"entry 1, line \d: name has invalid characters"),
        ("- {name: a, key: 12345}", r"entry 1, line \d: key must be text"),
        ("- {name: a, key: 2024-99-99}", "neither YAML nor JSON"),
        ("- {name: a, key: ''}", r"entry 1, line \d: key must have visible"),
        (f"- {{name: a, key: ' {SECRET}'}}", r"entry 1, line \d: key must have visible"),
        (f"- {{name: a, key: é{SECRET}}}", r"entry 1, line \d: key must have visible"),
        (f"- {{name: a, sha256: {SECRET}}}", r"entry 1, line \d: sha256 has invalid characters"),
        (f"- {{name: a, sha256: {digest('').hex()}}}", r"entry 1, line \d: sha256 is the hash of an empty key"),
        *(
            (
                f"- {{name: a, key: {SECRET}, weight: {weight}}}",
                r"entry 1, line \d: weight must be a number from 0.01",
            )
            for weight in ("0", "-1", "0.001", "101", ".nan", ".inf", f"'{SECRET}'", "true", "null")
        ),
        (f"- {{name: a, key: {SECRET}}}\n- {{name: a, key: b}}", r"entry 2, line \d: has the same name as entry 1"),
        (
            f"- {{name: a, key: {SECRET}}}\n- {{name: b, sha256: {SHA256}}}",
            r"entry 2, line \d: has the same key as",
        ),
        (f"- name: a\n  key: *{SECRET}", "neither YAML nor JSON, line 2, column 8"),
        (f"- name: a\n  key: !{SECRET} b", "neither YAML nor JSON, line 2, column 8"),
        (f"- name: a\n  key: '{SECRET}", "neither YAML nor JSON, line"),
        (f"- name: a\n key: {SECRET}: {SECRET}", "neither YAML nor JSON, line"),
        (b"\xff\xfe\x00" + SECRET.encode(), "neither YAML nor JSON"),
        ("[" * 5000 + SECRET, "neither YAML nor JSON"),
        ("[" * 1_000_000 + SECRET, "neither YAML nor JSON"),
        ("- " * 100_000 + SECRET, "neither YAML nor JSON"),
        ("[" * 500 + "]" * 500, "neither YAML nor JSON"),
    ],
)
def test_error_names_the_entry_and_no_key(tmp_path: Path, content: str | bytes, words: str) -> None:
    """The message has the flag, the file and the entry. The chain of exceptions does not quote a key either."""
    path = _file(tmp_path, content)
    with pytest.raises(SettingsInvalid, match=words) as caught:
        read_keys(path)
    assert str(caught.value).startswith(f"--api-keys-file or RERANK_API_KEYS_FILE is {str(path)!r}: ")
    assert SECRET not in str(caught.value)
    assert SHA256 not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """An unreadable file must not turn off authentication."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsInvalid, match=r"cannot be read: (No such file|Is a directory)"):
            read_keys(path)
