"""A server that follows its models file and its model folders, on real files. Loads are fast."""

import os
from pathlib import Path

from structlog.testing import capture_logs

from rerank_service.lifecycle.catalog_watch import CatalogWatch
from rerank_service.models.catalog.reading import read_catalog
from support.managed import FakeStore, managed
from support.small import write_small_model


async def _settle(watch: CatalogWatch) -> None:
    """Look twice: a change counts when it has been seen twice."""
    await watch.look()
    await watch.look()


def _volume(root: Path, name: str, content: str) -> None:
    """Write a models file as Kubernetes mounts a ConfigMap: a link to a link to a folder, which is swapped."""
    (root / name).mkdir()
    (root / name / "models.yaml").write_text(content)
    (root / "..new").symlink_to(name)
    (root / "..new").rename(root / "..data")
    if not (root / "models.yaml").is_symlink():
        (root / "models.yaml").symlink_to("..data/models.yaml")


async def test_a_swapped_config_map(store: FakeStore, tmp_path: Path) -> None:
    """New entries are loaded, removed ones are unloaded. A wrong file changes nothing, and is logged once."""
    for name in ("one", "two"):
        write_small_model(tmp_path / "bundles" / name)
    volume = tmp_path / "volume"
    volume.mkdir()
    _volume(volume, "..1", f"- {{bundle: {tmp_path}/bundles/one, name: a}}\n")
    path = volume / "models.yaml"
    entries = read_catalog(path)
    async with managed(store, *entries) as server:
        watch = CatalogWatch(server.manager, lambda: read_catalog(path), entries, path)
        with capture_logs() as logs:
            await _settle(watch)
            _volume(volume, "..2", f"- {{bundle: {tmp_path}/bundles/one, name: a, wieght: 2}}\n")
            for _ in range(3):
                await _settle(watch)
            [wrong] = logs
            assert wrong["event"] == "models not reloaded"
            assert "wieght" in wrong["why"]
            assert await server.rank("a") == 1
            logs.clear()
            _volume(volume, "..3", f"- {{bundle: {tmp_path}/bundles/two, name: b, aliases: [a]}}\n")
            await _settle(watch)
            assert await server.rank("a") == 1
        assert store.loads == ["one", "two"]
        reloaded = next(log for log in logs if log["event"] == "models reloaded")
        assert (reloaded["added"], reloaded["removed"], reloaded["changed"]) == (["b"], ["a"], [])
        assert reloaded["failed"] == []


async def test_a_new_version_in_a_folder(store: FakeStore, tmp_path: Path) -> None:
    """It is loaded when its files have stopped to change. A load that fails is repeated after the next change."""
    bundle = write_small_model(tmp_path / "models" / "one")
    entries = read_catalog(tmp_path / "models")
    async with managed(store, *entries) as server:
        watch = CatalogWatch(server.manager, lambda: read_catalog(tmp_path / "models"), entries, tmp_path / "models")
        store.versions["one"], store.broken = 2, {"one"}
        (bundle.folder / "model.onnx").touch()
        await watch.look()
        os.utime(bundle.folder / "model.onnx", ns=(1, 1))
        await watch.look()  # it still changes
        assert store.loads == ["one"]
        await watch.look()
        await _settle(watch)
        assert store.loads == ["one", "one"]
        assert await server.rank("one") == 1
        store.broken.clear()
        os.utime(bundle.folder / "model.onnx", ns=(2, 2))
        await _settle(watch)
        assert await server.rank("one") == 2
        os.utime(bundle.folder / "model.onnx", ns=(3, 3))  # the same digest
        await _settle(watch)
        assert store.loads == ["one"] * 3


async def test_a_folder_of_bundles_and_a_link(store: FakeStore, tmp_path: Path) -> None:
    """A new folder is a new model, and a link to another bundle is a new version."""
    for name in ("v1", "v2"):
        write_small_model(tmp_path / name)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "one").symlink_to(tmp_path / "v1")
    entries = read_catalog(folder)
    async with managed(store, *entries) as server:
        watch = CatalogWatch(server.manager, lambda: read_catalog(folder), entries, folder)
        store.versions["one"] = 2
        (folder / ".new").symlink_to(tmp_path / "v2")
        (folder / ".new").rename(folder / "one")
        await _settle(watch)
        assert await server.rank("one") == 2
        write_small_model(folder / ".two")
        await _settle(watch)
        (folder / ".two").rename(folder / "two")
        await _settle(watch)
        assert server.states() == {"one": "ready", "two": "ready"}
        (folder / "one").unlink()
        await _settle(watch)
        assert list(server.states()) == ["two"]
        assert server.registry.find("").name == "two"
