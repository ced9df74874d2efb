"""The file of API keys: valid entries, and errors that never quote a key."""

import json
from pathlib import Path

import pytest

from rerank_service.api.api_keys_file import read_keys
from rerank_service.api.auth import Caller, digest
from rerank_service.errors import SettingsInvalid

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


def test_json_is_read(tmp_path: Path) -> None:
    """JSON with tabs is not valid YAML, but is read."""
    content = json.dumps([{"name": "a", "key": SECRET, "weight": 2}], indent="\t")
    assert read_keys(_file(tmp_path, content))[0].caller == Caller("a", 2.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "keys.yaml: must be a list"),
        ("[]", "has no entry"),
        (f"{SECRET}", "must be a list"),
        (f"{SECRET}: 3", "must be a list"),
        (f"- {SECRET}", "entry 1: must be an entry"),
        (f"- {{name: a, key: {SECRET}}}\n- {SECRET}: 3", "entry 2"),
        (f"- name: a\n  {SECRET}: 3", "entry 1: has an unknown field"),
        ("- name: a\n  123: 3", "entry 1: has a field whose name is not text$"),
        (f"- key: {SECRET}", "entry 1: name is missing"),
        ("- name: a", "entry 1: set either key or sha256"),
        ("- {name: a, key: null}", "set either"),
        (f"- {{name: a, key: {SECRET}, sha256: {SHA256}}}", "not both"),
        (f"- {{name: 'a {SECRET}', key: b}}", "entry 1: name has invalid characters"),
        ("- {name: a, key: 12345}", "entry 1: key must be text"),
        ("- {name: a, key: 2024-99-99}", "neither YAML nor JSON"),
        ("- {name: a, key: ''}", "entry 1: key must have visible"),
        (f"- {{name: a, key: ' {SECRET}'}}", "entry 1: key must have visible"),
        (f"- {{name: a, key: é{SECRET}}}", "entry 1: key must have visible"),
        (f"- {{name: a, sha256: {SECRET}}}", "entry 1: sha256 has invalid characters"),
        (f"- {{name: a, sha256: {digest('').hex()}}}", "entry 1: sha256 is the hash of an empty key"),
        *(
            (f"- {{name: a, key: {SECRET}, weight: {weight}}}", "entry 1: weight must be a number from 0.01 to 100")
            for weight in ("0", "-1", "0.001", "101", ".nan", ".inf", f"'{SECRET}'", "true", "null")
        ),
        (f"- {{name: a, key: {SECRET}}}\n- {{name: a, key: b}}", "entry 2: has the same name as entry 1"),
        (f"- {{name: a, key: {SECRET}}}\n- {{name: b, sha256: {SHA256}}}", "entry 2: has the same key as entry 1"),
        (f"- name: a\n  key: *{SECRET}", "neither YAML nor JSON, line 2, column 8"),
        (f"- name: a\n  key: !{SECRET} b", "neither YAML nor JSON, line 2, column 8"),
        (f"- name: a\n  key: '{SECRET}", "neither YAML nor JSON, line"),
        (f"- name: a\n key: {SECRET}: {SECRET}", "neither YAML nor JSON, line"),
        (b"\xff\xfe\x00" + SECRET.encode(), "neither YAML nor JSON"),
        ("[" * 5000 + SECRET, "neither YAML nor JSON"),
    ],
)
def test_error_names_the_entry_and_no_key(tmp_path: Path, content: str | bytes, words: str) -> None:
    """The message has the flag, the file and the entry. The chain of exceptions does not quote a key either."""
    path = _file(tmp_path, content)
    with pytest.raises(SettingsInvalid, match=words) as caught:
        read_keys(path)
    assert str(caught.value).startswith(f"--api-keys-file {path}: ")
    assert SECRET not in str(caught.value)
    assert SHA256 not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """An unreadable file must not turn off authentication."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsInvalid, match=r"cannot be read: (No such file|Is a directory)"):
            read_keys(path)
