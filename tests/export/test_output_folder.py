"""The output folder: refused before any work, replaced as a whole, unchanged after a failure."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerank_export.bundle.output_folder import check_output, replace_folder
from rerank_export.errors import ExportFailed
from rerank_service.models.bundle import Bundle, write_manifest
from support.process import command, environment
from support.small import write_small_model

_OCCUPIED = "exists and is no bundle, or holds other files, too: choose another folder, or remove it"

Refuse = Callable[..., str]
NO_SPACE = "no space left on the disk of the output folder "


def test_full_disk_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """Files of the child process are limited to 64 KiB (128 blocks). The first larger file fails; a library writes it.

    The limit must not hold for pytest, whose own output may be a larger file.
    """
    export = command("export", str(source), "--out", "out")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 128 && exec "$@"', "sh", *export],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    *_, last = done.stderr.splitlines()
    assert done.returncode == 1
    assert last.startswith(f"rerank export: {NO_SPACE}out, and nothing was written")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path, source: Path) -> Iterator[Path]:
    """A file system with room for the exported graph, but not for a bundle beside it."""
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = 2 * (source / "model.safetensors").stat().st_size // 4096 * 4
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_disk_that_fills_later_leaves_nothing(source: Path, refuse: Refuse, small_disk: Path) -> None:
    """The bundle's own file fails; half-written weights are removed."""
    (small_disk / "note").write_text("kept")
    assert refuse(source, small_disk / "out").startswith(NO_SPACE)
    assert [path.name for path in small_disk.iterdir()] == ["note"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("/proc/x/y", "the output folder /proc/x/y cannot be written (/proc: "),
        (
            "/etc/passwd/x",
            "the output folder /etc/passwd/x cannot be written (/etc/passwd: Not a directory): choose another folder",
        ),
    ],
)
def test_unwritable_folder_is_refused_before_the_download(out: str, reason: str, refuse: Refuse) -> None:
    """The hub is not asked for the model."""
    assert refuse("org/model", out).startswith(reason)


@pytest.fixture
def occupied(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with another program's file, which must still be there afterwards."""
    out = tmp_path / "mine"
    out.mkdir()
    file = out / request.param
    file.write_text('{"name": "a browser extension", "manifest_version": 3}')
    yield out
    assert [path.name for path in out.iterdir()] == [request.param]


@pytest.mark.parametrize("occupied", ["notes.txt", "manifest.json"], indirect=True)
def test_folder_that_is_no_bundle_is_not_replaced(occupied: Path, source: Path, refuse: Refuse) -> None:
    """Another program's manifest.json does not make a folder a bundle."""
    reason = f"the output folder {occupied} {_OCCUPIED}"
    assert refuse(source, occupied) == reason


@pytest.mark.parametrize("name", ["README.md", ".gitattributes", ".git/HEAD", ".cache/", "onnx/notes.txt"])
def test_bundle_with_other_files_is_not_replaced(name: str, source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """They would be removed with the old bundle, also hidden ones and those in a folder of the bundle."""
    bundle = write_small_model(tmp_path / "mine")
    (bundle.folder / "onnx").mkdir()
    (bundle.folder / "onnx/model.onnx").touch()
    write_manifest(bundle.folder, bundle.manifest)
    check_output(bundle.folder)
    other = bundle.folder / name
    other.parent.mkdir(exist_ok=True)
    if name.endswith("/"):
        other.mkdir()
    else:
        other.touch()
    assert refuse(source, bundle.folder) == f"the output folder {bundle.folder} {_OCCUPIED}"
    assert other.exists()


@pytest.mark.parametrize("name", [".DS_Store", ".manifest.json.123"])
def test_bundle_with_leftovers_is_replaced(name: str, tmp_path: Path) -> None:
    """A file manager or a killed process wrote them."""
    out = write_small_model(tmp_path / "mine").folder
    (out / name).touch()
    assert check_output(out).target == out


def test_file_that_is_added_during_the_export_is_kept(tmp_path: Path) -> None:
    """The folder is checked again at the end, after minutes or hours."""
    out = write_small_model(tmp_path / "mine").folder
    built = write_small_model(tmp_path / "work/bundle").folder
    output = check_output(out)
    (out / "notes.txt").write_text("ours")
    with pytest.raises(ExportFailed, match="holds other files, too, since the export began"):
        replace_folder(built, output)
    assert (out / "notes.txt").read_text() == "ours"


@pytest.mark.parametrize("out", [".", "../{name}", ".."])
def test_current_folder_is_refused_before_the_download(out: str, refuse: Refuse, tmp_path: Path) -> None:
    """A shell would be left in a folder that is deleted."""
    out = out.format(name=tmp_path.name)
    assert refuse("org/model", out) == (
        f"the output folder {out} is or contains the current folder, which would be deleted: choose another folder"
    )


@pytest.mark.parametrize("out", ["mine/new", "mine/further/new", "link/new"])
def test_folder_inside_a_bundle_is_refused_before_the_download(out: str, refuse: Refuse, tmp_path: Path) -> None:
    """A server would reject the bundle around it, which has files that its manifest does not list."""
    bundle = write_small_model(tmp_path / "mine")
    (tmp_path / "link").symlink_to("mine")
    assert refuse("org/model", out) == (
        f"--out {out} is inside the bundle {bundle.folder}, which a server rejects if it has other files: give a "
        "folder outside this bundle"
    )
    assert {path.name for path in bundle.folder.iterdir()} == {*bundle.manifest.files, "manifest.json"}


def test_file_is_not_replaced(source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """A folder never takes the place of a file."""
    (tmp_path / "out").touch()
    assert refuse(source) == f"the output folder out {_OCCUPIED}"


def test_link_to_itself_is_refused(source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """Such a link is neither a folder nor a place for one."""
    (tmp_path / "out").symlink_to("out")
    assert refuse(source) == "the output folder out is a link to itself: choose another folder"


def test_mounted_volume_is_refused_before_the_download(refuse: Refuse, small_disk: Path) -> None:
    """It cannot be renamed. Without this check the export would fail after all the work."""
    assert refuse("org/model", small_disk) == (
        f"the output folder {small_disk} is a mounted volume, which cannot be replaced: choose a folder inside it"
    )


def test_model_that_is_the_old_bundle_is_refused(
    bundles: Callable[[str], Bundle], refuse: Refuse, tmp_path: Path
) -> None:
    """The replacement would delete the model."""
    old = shutil.copytree(bundles("bert").folder, tmp_path / "out")
    assert refuse("out").startswith("out lies inside the output folder out and would be deleted: ")
    assert (old / "model.onnx").is_file()


def test_old_bundle_is_restored_if_the_move_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The move fails if another export writes there, or if the process is asked to end at that moment. The file system
    cannot exchange two folders in one step."""
    out, built = write_small_model(tmp_path / "out").folder, tmp_path / "work/bundle"
    built.mkdir(parents=True)
    files = {path.name for path in out.iterdir()}
    rename = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if self == built:
            raise SystemExit(143)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", stopped)
    monkeypatch.setattr("rerank_export.bundle.output_folder._exchange", lambda first, second: False)
    with pytest.raises(SystemExit):
        replace_folder(built, check_output(out))
    assert {path.name for path in out.iterdir()} == files
