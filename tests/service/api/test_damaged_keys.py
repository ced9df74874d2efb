"""Damaged files of API keys: each is read, or ends in one line that names the file and no key."""

from pathlib import Path

import pytest
from hypothesis import example, given

from rerank_service.api.api_keys_file import read_keys
from rerank_service.api.api_keys_reload import ReloadedKeys
from rerank_service.errors import SettingsInvalid
from support.damage import FEW, Damage, damages

_SECRET = "s3cr3t-0123456789"
_YAML = f"""- name: search-team
  key: {_SECRET}
  weight: 2.5
  models: [starter]
- name: ops
  sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
  expires: 2027-01-31T12:00:00Z
  requests_per_second: 10
  admin: true
""".encode()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys."""
    return tmp_path_factory.mktemp("keys") / "keys.yaml"


@given(damages)
@example(lambda content: content.replace(b"2027", b"!!timestamp 2027"))
@example(lambda content: content.replace(b"true", b"!!timestamp true"))
@example(lambda content: content.replace(b"10", b"!!int x"))
@example(lambda content: content[:0])
def test_damaged_keys_end_in_one_line(file: Path, damage: Damage) -> None:
    """The message does not quote the file."""
    file.write_bytes(damage(_YAML))
    message = ""
    try:
        read_keys(file)
    except SettingsInvalid as error:
        message = str(error)
    assert not message or (message.isprintable() and str(file) in message)
    assert _SECRET not in message


@FEW
@given(damages)
@example(lambda content: content.replace(b"true", b"!!timestamp true"))
def test_damaged_keys_change_nothing_while_the_server_runs(file: Path, damage: Damage) -> None:
    """The keys of the last valid file stay. Before, each request failed while a tag did not fit its value."""
    file.write_bytes(_YAML)
    keys = ReloadedKeys(file)
    before = keys.keys
    file.with_suffix(".new").write_bytes(damage(_YAML))
    file.with_suffix(".new").replace(file)
    changed = keys.changed()
    assert (changed is None) != keys.up_to_date
    assert keys.keys is (before if changed is None else changed)


def test_file_without_an_end_is_rejected() -> None:
    """A wrong path does not fill the memory."""
    with pytest.raises(SettingsInvalid, match=r"/dev/zero.*the file has more than 16 MiB, the maximum for"):
        read_keys(Path("/dev/zero"))
