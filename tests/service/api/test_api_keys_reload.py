"""The file of API keys is read again when it changes."""

import os
from pathlib import Path

import pytest
import structlog

from rerank_service.api.api_keys_reload import ReloadedKeys
from rerank_service.api.auth import Keys
from rerank_service.errors import SettingsInvalid, Unauthenticated
from support.descriptors import no_free_descriptors

OLD = "- {name: a, key: old}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with one key."""
    path = tmp_path / "keys.yaml"
    path.write_text(OLD)
    return path


def _keys(path: Path) -> Keys:
    file = ReloadedKeys(path)
    return Keys(["plain"], file.keys, changed=file.changed)


def _accepted(keys: Keys, *sent: str) -> list[str]:
    """Return those of the keys that are accepted."""
    accepted = []
    for key in sent:
        try:
            keys.check({"x-api-key": key})
        except Unauthenticated:
            continue
        accepted.append(key)
    return accepted


def test_change_counts_from_the_next_request_on(path: Path) -> None:
    """A new key is accepted, a removed one is rejected. Keys that are not from the file stay."""
    keys = _keys(path)
    assert _accepted(keys, "old", "new", "plain") == ["old", "plain"]
    path.write_text("- {name: b, key: new}\n- {name: c, key: newer}\n")
    assert _accepted(keys, "old", "new", "newer", "plain") == ["new", "newer", "plain"]


def test_replaced_file_is_read(path: Path) -> None:
    """Kubernetes replaces the link to a mounted Secret. The new file may have the same size and time."""
    folder = path.parent
    for name, content in (("1", OLD), ("2", "- {name: a, key: new}\n")):
        (folder / name).mkdir()
        (folder / name / "keys.yaml").write_text(content)
        os.utime(folder / name / "keys.yaml", (1e9, 1e9))
    (folder / "data").symlink_to("1")
    keys = _keys(folder / "data" / "keys.yaml")
    assert _accepted(keys, "old", "new") == ["old"]
    (folder / "next").symlink_to("2")
    (folder / "next").rename(folder / "data")
    assert _accepted(keys, "old", "new") == ["new"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "must be a list"),
        ("[]", "has no entry"),
        ("- {name: a, key: new}\n- {name: b, kee: c}", "entry 2, line 2: has an unknown field"),
        ("- {name: a", "is neither YAML nor JSON, line"),
        (None, "cannot be read: No such file"),
    ],
)
def test_invalid_file_keeps_the_old_keys(path: Path, content: str | None, why: str) -> None:
    """One log line says why. The next valid file is read again, also if it is the old one."""
    keys = _keys(path)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            assert _accepted(keys, "old", "new") == ["old"]
    [line] = logged
    assert (line["event"], line["log_level"], line["kept"]) == ("API keys not reloaded", "error", 1)
    assert line["error"].startswith(f"--api-keys-file or RERANK_API_KEYS_FILE is {str(path)!r}: ")
    assert why in line["error"]
    path.write_text("- {name: a, key: new}\n")
    assert _accepted(keys, "old", "new") == ["new"]


def test_file_that_could_not_be_read_is_read_again(path: Path) -> None:
    """Without a free descriptor, for example. The removed key would stay valid until the next change of the file."""
    file = ReloadedKeys(path)
    keys = Keys([], file.keys, changed=file.changed)
    path.write_text("- {name: a, key: new}\n")
    with structlog.testing.capture_logs() as logged:
        with no_free_descriptors():
            seen = [(_accepted(keys, "old", "new"), file.up_to_date) for _ in range(3)]
        assert seen == [(["old"], False)] * 3
        assert _accepted(keys, "old", "new") == ["new"]
    assert [line["event"] for line in logged] == ["API keys not reloaded", "API keys reloaded"]
    assert "cannot be read: Too many open files" in logged[0]["error"]
    assert file.up_to_date
    assert file.changed() is None


def test_fifo_in_place_of_the_file_keeps_the_old_keys(path: Path) -> None:
    """A read of it would wait for its writer, and with it all requests."""
    file = ReloadedKeys(path)
    keys = Keys([], file.keys, changed=file.changed)
    path.unlink()
    os.mkfifo(path)
    with structlog.testing.capture_logs() as logged:
        assert [_accepted(keys, "old") for _ in range(2)] == [["old"]] * 2
    assert ["it is not a regular file" in line["error"] for line in logged] == [True]
    path.unlink()
    path.write_text("- {name: a, key: new}\n")
    assert _accepted(keys, "old", "new") == ["new"]


def test_reload_is_logged_with_names(path: Path) -> None:
    """Never with keys."""
    path.write_text("- {name: a, key: one}\n- {name: b, key: two}\n- {name: c, key: three}\n")
    keys = _keys(path)
    path.write_text("- {name: b, key: other}\n- {name: c, key: three}\n- {name: d, key: four, weight: 2}\n")
    with structlog.testing.capture_logs() as logged:
        assert _accepted(keys, "other", "four") == ["other", "four"]
    assert logged == [
        {
            "event": "API keys reloaded",
            "log_level": "info",
            "keys": 3,
            "added": ["d"],
            "removed": ["a"],
            "changed": ["b"],
        }
    ]


def test_counters_survive_a_reload(path: Path) -> None:
    """The limits are new, and the requests in progress still count."""
    path.write_text("- {name: a, key: old, concurrent_requests: 2}\n")
    keys = _keys(path)
    before = keys.check({"x-api-key": "old"})
    path.write_text("- {name: a, key: old, concurrent_requests: 1, requests_per_second: 5}\n")
    after = keys.check({"x-api-key": "old"})
    assert after.quota is before.quota


def test_start_with_an_invalid_file_is_an_error(path: Path) -> None:
    """There are no old keys to keep."""
    path.write_text("[]")
    with pytest.raises(SettingsInvalid, match="has no entry"):
        ReloadedKeys(path)
