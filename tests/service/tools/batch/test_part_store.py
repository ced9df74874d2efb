"""The folder of finished parts: the state after a crash, and how a job continues."""

import fcntl
import os
from pathlib import Path

import pytest

from rerank_service.errors import OutputNotWritten, SettingsInvalid
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.job_identity import changes
from rerank_service.tools.batch.part_store import Counts, PartStore
from rerank_service.tools.batch.rows import Columns
from rerank_service.tools.served_identity import READING
from support.broken_process import small_files

_IDENTITY = {"IN": "abc", "model": "small 1"}
_FORMAT = JsonlFormat(Path("unused"), Columns(), sort=False, compress=False)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return the path of OUT."""
    return tmp_path / "out.jsonl"


def _parts(target: Path) -> Path:
    return target.with_name("out.jsonl.parts")


def _finish(target: Path, *numbers: int, error: bytes = b"") -> None:
    """Write parts, and end without joining them."""
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        for number in numbers:
            store.finish(number, b"row %d\n" % number, error, Counts(2, 1, int(bool(error))))


def test_finished_parts_are_found_again_and_joined_in_order(target: Path) -> None:
    """By their numbers, not by the order in which they were finished."""
    _finish(target, 2, 0)
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        assert sorted(store.finished) == [0, 2]
        store.finish(1, b"row 1\n", b"bad\n", Counts(1, 0, 1))
        assert store.join(_FORMAT) == Counts(5, 2, 1)
    assert target.read_bytes() == b"row 0\nrow 1\nrow 2\n"
    assert store.errors_file.read_bytes() == b"bad\n"
    assert sorted(path.name for path in target.parent.iterdir()) == ["out.jsonl", "out.jsonl.errors.jsonl"]


@pytest.mark.parametrize("left", ["000001.part", "000001.part.new", "000001.errors", "000001.done.new", "joined.new"])
def test_a_part_that_was_not_finished_is_written_again(target: Path, left: str) -> None:
    """A kill can leave each of these files, with any content."""
    _finish(target, 0)
    (_parts(target) / left).write_bytes(b"half a li")
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        assert sorted(store.finished) == [0]
        store.finish(1, b"row 1\n", b"", Counts(1, 1, 0))
        store.join(_FORMAT)
    assert target.read_bytes() == b"row 0\nrow 1\n"


def test_a_kill_after_the_join_is_repaired_by_another_join(target: Path) -> None:
    """OUT is complete, and its parts are still there."""
    _finish(target, 0)
    target.write_bytes(b"row 0\n")
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        store.join(_FORMAT)
    assert target.read_bytes() == b"row 0\n"


def test_a_kill_while_parts_are_removed_leaves_a_finished_job(target: Path) -> None:
    """The folder has another name by then, and is removed by the next run."""
    _finish(target, 0)
    target.write_bytes(b"row 0\n")
    removed = _parts(target).rename(target.with_name("out.jsonl.parts.removed"))
    with (
        pytest.raises(SettingsInvalid, match="exists: give another name, or --restart"),
        PartStore(target).opened(_IDENTITY, restart=False),
    ):
        pass
    assert not removed.exists()


def test_a_kill_while_a_restart_removes_parts_leaves_no_finished_part(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The identity of the job goes first. Otherwise a part could count as finished without its file."""
    _finish(target, 0, 1)
    removed: list[str] = []
    unlink = Path.unlink

    def unlink_two(path: Path, *, missing_ok: bool = False) -> None:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_two)
        with pytest.raises(KeyboardInterrupt), PartStore(target).opened(_IDENTITY, restart=True):
            pass
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        assert not store.finished


def test_a_restart_that_ended_before_its_first_part_lets_no_other_job_replace_out(target: Path) -> None:
    """The same job continues, since it was asked to replace OUT. Another one, or one without identity, was not."""
    target.write_text("old\n")
    for identity, left in (({**_IDENTITY, "--sort": "True"}, ["job.json", "lock"]), (_IDENTITY, ["lock"])):
        with PartStore(target).opened(_IDENTITY, restart=True):
            pass
        for path in set(_parts(target).iterdir()) - {_parts(target) / name for name in left}:
            path.unlink()
        with pytest.raises(SettingsInvalid, match="exists: give another name"):
            PartStore(target).opened(identity, restart=False).__enter__()
    with PartStore(target).opened(_IDENTITY, restart=True):
        pass
    with PartStore(target).opened(_IDENTITY, restart=False):
        assert target.read_text() == "old\n"


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    """Parts are beside that file: a rename cannot go from one file system to another."""
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to("disk/real.jsonl")
    store = PartStore(link)
    with store.opened(_IDENTITY, restart=False):
        assert (tmp_path / "disk" / "real.jsonl.parts").is_dir()
        store.finish(0, b"row 0\n", b"", Counts(1, 1, 0))
        store.join(_FORMAT)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.jsonl").read_bytes() == b"row 0\n"


def test_a_name_that_leaves_no_place_for_endings_is_rejected_first(tmp_path: Path) -> None:
    """A join would fail after all rows are scored."""
    longest = "x" * (os.pathconf(tmp_path, "PC_NAME_MAX") - len(".parts.removed"))
    with PartStore(tmp_path / longest).opened(_IDENTITY, restart=False):
        pass
    for name in (f"{longest}x", f"{longest}{'x' * 10}", f"{longest}{'x' * 20}"):
        with (
            pytest.raises(SettingsInvalid, match="File name too long: give OUT a shorter name"),
            PartStore(tmp_path / name).opened(_IDENTITY, restart=False),
        ):
            pass


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_or_a_device_as_out_is_rejected_first(tmp_path: Path, restart: bool) -> None:
    """A folder cannot be replaced after all rows are scored, and a device must not be."""
    for target in (tmp_path, Path("/dev/null")):
        with (
            pytest.raises(SettingsInvalid, match=r"is not a regular file|exists"),
            PartStore(target).opened(_IDENTITY, restart=restart),
        ):
            pass
        assert not target.with_name(f"{target.name}.parts").exists()


def test_errors_of_an_earlier_job_are_removed(target: Path) -> None:
    """They would seem to belong to the new OUT."""
    errors = PartStore(target).errors_file
    errors.write_text("old\n")
    store = PartStore(target)
    with store.opened(_IDENTITY, restart=True):
        store.finish(0, b"row 0\n", b"", Counts(1, 1, 0))
        store.join(_FORMAT)
    assert not errors.exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"IN": "abd", "model": "small 1"}, "IN was abc, now abd"),
        ({"IN": "abc"}, "model was small 1, now not set"),
        ({**_IDENTITY, "--sort": "True"}, "--sort was not set, now True"),
    ],
)
def test_another_job_does_not_continue(target: Path, changed: dict[str, str], words: str) -> None:
    """The message names each difference, and the ways out. --restart discards the parts."""
    _finish(target, 0)
    store = PartStore(target)
    with pytest.raises(SettingsInvalid) as raised, store.opened(changed, restart=False):
        pass
    assert words in str(raised.value)
    assert "--restart to score all rows again" in str(raised.value)
    with store.opened(changed, restart=True):
        assert not store.finished
    with store.opened(changed, restart=False):
        pass


def test_two_processes_do_not_write_one_output(target: Path) -> None:
    """The lock ends with its process, so a kill leaves none."""
    _finish(target, 0)
    with (_parts(target) / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(SettingsInvalid, match="another process writes"),
            PartStore(target).opened(_IDENTITY, restart=True),
        ):
            pass
    assert (_parts(target) / "000000.done").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before any row is scored."""
    (tmp_path / "file").write_text("")
    store = PartStore(tmp_path / "file" / "out.jsonl")
    with (
        pytest.raises(SettingsInvalid, match=r"cannot write .*out.jsonl.parts: Not a directory"),
        store.opened(_IDENTITY, restart=False),
    ):
        pass


@pytest.mark.parametrize("moment", ["part", "join"])
def test_a_full_disk_keeps_the_finished_parts(target: Path, moment: str) -> None:
    """The message names the file and the next step. With room, the same job continues."""
    _finish(target, 0)
    large, store = b"row\n" * 500_000, PartStore(target)
    with store.opened(_IDENTITY, restart=False):
        if moment == "join":
            store.finish(1, large, b"", Counts(1_000, 1_000, 0))
        with (
            small_files(2**20),
            pytest.raises(OutputNotWritten, match=r"out\.jsonl.* cannot be written: .*run the same command again"),
        ):
            if moment == "join":
                store.join(_FORMAT)
            store.finish(1, large, b"", Counts(1_000, 1_000, 0))
    assert not target.exists()
    again = PartStore(target)
    with again.opened(_IDENTITY, restart=False):
        assert 0 in again.finished
        again.finish(1, large, b"", Counts(1_000, 1_000, 0))
        again.join(_FORMAT)
    assert target.read_bytes() == b"row 0\n" + large


def test_job_without_a_finished_part_may_change(target: Path) -> None:
    """Such as after --strict has found a wrong row, which is repaired then."""
    for identity in (_IDENTITY, {**_IDENTITY, "IN": "abd"}):
        with PartStore(target).opened(identity, restart=False):
            pass


@pytest.mark.parametrize("name", READING)
def test_reading_of_texts_is_compared_if_both_identities_have_it(name: str) -> None:
    """A server of an older version does not list it. The job continues after the upgrade, and after a roll-back."""
    older = {"model": "m"}
    newer = {**older, name: "1"}
    assert changes(older, newer) == changes(newer, older) == []
    assert changes(newer, {**older, name: "2"}) == [f"{name} was 1, now 2"]


def test_changed_input_is_named_without_its_digests() -> None:
    """They say nothing to a reader."""
    assert changes({"IN": "a" * 64}, {"IN": "b" * 64}) == ["the content of IN has changed"]
