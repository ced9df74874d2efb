"""Folders that Admin may load: paths and links that lead out of the root are refused."""

import os
from pathlib import Path

import pytest

from rerank_service.errors import InvalidRequest
from rerank_service.lifecycle.bundle_folders import BundleFolders
from rerank_service.lifecycle.model_control_errors import FolderNotAllowed, LoadFailed
from rerank_service.models.bundle import Bundle
from support.small import write_small_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with one bundle, `a`. Beside the root is another one, `secret`."""
    folder = tmp_path / "root"
    folder.mkdir()
    write_small_model(folder / "a")
    write_small_model(tmp_path / "secret")
    return folder


@pytest.mark.parametrize("folder", ["a", "./a", "a/", "x/../a", "{root}/a", "{root}//a/.", "link", "chain"])
def test_folders_in_the_root_are_allowed(root: Path, folder: str) -> None:
    """Relative to the root or absolute, also by links that stay inside. The result has no links."""
    (root / "link").symlink_to("a")
    (root / "chain").symlink_to(root / "link")
    assert BundleFolders(root).allowed(folder.format(root=root)) == root / "a"


@pytest.mark.parametrize(
    "folder",
    [
        "..",
        "../secret",
        "a/../../secret",
        "{root}/../secret",
        "{root}-other/a",
        "/",
        "/etc",
        "/proc/self/root",
        "/dev/stdin",
        ".",
        "{root}",
        "out",
        "out/x",
        "relative_out",
        "loop",
        "~/models",
        "//server/share",
        "a" * 5000,
    ],
)
def test_folders_outside_are_refused(root: Path, folder: str) -> None:
    """By name or by link, existing or not. The root itself is no bundle. Only a missing folder inside is named so."""
    (root / "out").symlink_to(root.parent / "secret")
    (root / "relative_out").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    with pytest.raises((FolderNotAllowed, LoadFailed)) as caught:
        BundleFolders(root).allowed(folder.format(root=root))
    inside = folder in ("loop", "~/models") or folder.startswith("aaa")
    assert isinstance(caught.value, LoadFailed if inside else FolderNotAllowed)


@pytest.mark.parametrize("folder", ["a\0b", "a\nb", "\x1b[2J"])
def test_paths_with_control_characters_are_rejected(root: Path, folder: str) -> None:
    """The kernel does not know NUL in paths, and the log would show the others."""
    with pytest.raises(InvalidRequest) as caught:
        BundleFolders(root).allowed(folder)
    assert caught.value.field == "folder"


def test_a_root_that_is_a_link_is_followed(root: Path, tmp_path: Path) -> None:
    """A volume may be mounted elsewhere."""
    (tmp_path / "models").symlink_to("root")
    folders = BundleFolders(tmp_path / "models")
    assert folders.allowed("a") == folders.allowed(str(tmp_path / "models" / "a")) == root / "a"


@pytest.mark.parametrize("link", ["other.json", "deep/er/other.json", "folder"])
def test_a_bundle_with_a_link_out_of_the_root_is_refused(root: Path, link: str) -> None:
    """A model author may have written it: its file would be read, or shown in an error."""
    (root / "a" / link).parent.mkdir(parents=True, exist_ok=True)
    (root / "a" / link).symlink_to("/etc/passwd" if link != "folder" else root.parent / "secret")
    with pytest.raises(FolderNotAllowed, match=f"{link} is a link out of {root}"):
        BundleFolders(root).allowed("a")


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../../secret/manifest.json"])
def test_a_link_out_behind_links_inside_the_root_is_refused(root: Path, target: str) -> None:
    """The files behind a link to a folder are read like those of the bundle. The loop must not hide the second link."""
    for name in ("shared", "more"):
        (root / name).mkdir()
    (root / "a" / "1").symlink_to("../shared")
    (root / "shared" / "loop").symlink_to("../shared")
    (root / "shared" / "next").symlink_to("../more")
    assert BundleFolders(root).allowed("a") == root / "a"
    (root / "more" / "out").symlink_to(target)
    with pytest.raises(FolderNotAllowed, match=f"a/1/next/out is a link out of {root}"):
        BundleFolders(root).allowed("a")


def test_a_manifest_out_of_the_root_is_not_read(root: Path) -> None:
    """Its error could show the content."""
    (root / "b").mkdir()
    (root / "b" / "manifest.json").symlink_to(root.parent / "secret" / "manifest.json")
    [bundle] = BundleFolders(root).available([root / "a"])
    assert (bundle.folder, bundle.digest) == (root / "b", "")
    assert bundle.problem.startswith(f"{root}/b/manifest.json is a link out of {root}: ")


def test_links_inside_the_root_are_allowed(root: Path) -> None:
    """The cache of the Hugging Face Hub and volumes of Kubernetes have such links."""
    (root / "blobs").mkdir()
    (root / "a" / "manifest.json").rename(root / "blobs" / "1234")
    (root / "a" / "manifest.json").symlink_to("../blobs/1234")
    assert BundleFolders(root).allowed("a") == root / "a"


def test_a_file_is_no_folder(root: Path) -> None:
    """A FIFO would block the reader."""
    os.mkfifo(root / "fifo")
    for name in ("fifo", "a/manifest.json", "missing"):
        with pytest.raises(LoadFailed, match="is not a folder: give the folder of a bundle"):
            BundleFolders(root).allowed(name)


def test_folders_of_models_are_allowed_without_a_root(root: Path, small_model: Bundle, tmp_path: Path) -> None:
    """By any name of the folder. The operator of the server has chosen it."""
    (tmp_path / "link").symlink_to(root / "a")
    folders = BundleFolders()
    assert folders.allowed(str(root / "a"), [small_model.folder, tmp_path / "link"]) == root / "a"
    assert folders.allowed(str(tmp_path / "link"), [root / "a"]) == root / "a"
    with pytest.raises(FolderNotAllowed, match="'a' is not allowed: --bundles-root is unset"):
        folders.allowed("a", [root / "a"])


def test_bundles_that_no_model_uses_are_available(root: Path) -> None:
    """Directly in the root, each once. Other folders, hidden ones, and links out of the root are left out."""
    b = write_small_model(root / "b")
    write_small_model(root / ".hidden")
    (root / "empty").mkdir()
    (root / "file").write_text("")
    (root / "current").symlink_to("b")
    (root / "out").symlink_to(root.parent / "secret")
    (root / "hub").mkdir()
    (root / "hub" / "tokenizer.json").write_text("{}")
    available = BundleFolders(root).available([root / "a"])
    assert [(each.folder.name, each.digest, each.problem) for each in available] == [
        ("b", b.digest, ""),
        ("hub", "", ""),
    ]


@pytest.mark.parametrize("missing", [None, Path("/missing")])
def test_without_a_root_nothing_is_available(missing: Path | None) -> None:
    """A root that is missing is no error: a volume may be mounted later."""
    assert BundleFolders(missing).available() == []
