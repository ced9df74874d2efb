"""A server that follows its models file and its model folders, on real files. Loads are fast."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rerank_service.lifecycle.catalog_watch import CatalogWatch, read_and_look
from rerank_service.models.bundle import write_manifest
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.catalog.reading import read_catalog
from support.hub_folder import write_hub_folder
from support.managed import FakeStore, ManagedServer, managed
from support.small import write_small_model


@asynccontextmanager
async def _watched(
    store: FakeStore, path: Path, read: Callable[[], tuple[ModelEntry, ...]] | None = None
) -> AsyncIterator[tuple[ManagedServer, CatalogWatch]]:
    """Serve the models of a models file or folder, and watch it during the block."""
    read = read or partial(read_catalog, path)
    async with _watched_entries(store, path, read) as watched:
        yield watched


@asynccontextmanager
async def _watched_entries(
    store: FakeStore, path: Path | None, read: Callable[[], tuple[ModelEntry, ...]]
) -> AsyncIterator[tuple[ManagedServer, CatalogWatch]]:
    """Serve models, and watch their folders and the catalog `path` during the block."""
    entries, seen = read_and_look(read, path)
    async with managed(store, *entries) as server:
        yield server, CatalogWatch(server.manager, read, entries, path, seen)


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
    async with _watched(store, path) as (server, watch):
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
    async with _watched(store, tmp_path / "models") as (server, watch):
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


async def test_a_new_version_of_a_model_that_an_operator_has_unloaded(store: FakeStore, tmp_path: Path) -> None:
    """It stays unloaded until the operator loads it. Its digest is that of the new version."""
    models = tmp_path / "models"
    bundle = write_small_model(models / "one")
    async with _watched(store, models) as (server, watch):
        await server.manager.unload("one")
        store.versions["one"] = 2
        new = write_manifest(bundle.folder, bundle.manifest.model_copy(update={"max_tokens": 16}))
        await _settle(watch)
        assert store.loads == ["one"]
        [status] = server.manager.statuses()
        assert (status.state.value, status.reason) == ("unloaded", "unloaded by an operator")
        assert server.registry.infos()[0].digest == new.digest != bundle.digest
        await server.manager.load("one")
        assert await server.rank("one") == 2


async def test_a_folder_of_bundles_and_a_link(store: FakeStore, tmp_path: Path) -> None:
    """A new folder is a new model, and a link to another bundle is a new version."""
    for name in ("v1", "v2"):
        write_small_model(tmp_path / name)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "one").symlink_to(tmp_path / "v1")
    async with _watched(store, folder) as (server, watch):
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


@pytest.mark.parametrize("graph", ["onnx/model.onnx", "model.onnx"])
async def test_a_new_version_around_a_graph(store: FakeStore, tmp_path: Path, graph: str) -> None:
    """Tokenizer and config.json may be in the folder above the graph. Other files above the model do not count."""
    folder = write_hub_folder(tmp_path / "hub")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / graph)
    path = tmp_path / "models.yaml"
    path.write_text(f"- {{bundle: hub/{graph}, name: a}}\n")
    async with _watched(store, path) as (server, watch):
        (tmp_path / "server.log").write_text("started\n")
        await _settle(watch)
        assert store.loads == ["model.onnx"]
        for version, name in enumerate(("tokenizer.json", "config.json", graph), start=2):
            store.versions["model.onnx"] = version
            os.utime(folder / name, ns=(version, version))
            await _settle(watch)
            assert await server.rank("a") == version


async def test_a_bundle_that_arrives_after_its_entry(store: FakeStore, tmp_path: Path) -> None:
    """The models file is read again until its folders are there. The mistake is logged once."""
    write_small_model(tmp_path / "one")
    path = tmp_path / "models.yaml"
    path.write_text("- {bundle: one, name: a}\n")
    async with _watched(store, path) as (server, watch):
        with capture_logs() as logs:
            path.write_text("- {bundle: one, name: a}\n- {bundle: two, name: b}\n")
            for _ in range(3):
                await _settle(watch)
        assert [log["event"] for log in logs] == ["models not reloaded"]
        write_small_model(tmp_path / "two")
        await watch.look()
        assert server.states() == {"a": "ready", "b": "ready"}
        assert await server.rank("b") == 1


async def test_a_folder_that_is_complete_later(store: FakeStore, tmp_path: Path) -> None:
    """A folder of bundles has a new folder without files, and then with them."""
    write_small_model(tmp_path / "one")
    async with _watched(store, tmp_path) as (server, watch):
        (tmp_path / "two").mkdir()
        await _settle(watch)
        assert server.states() == {"one": "ready"}
        write_small_model(tmp_path / "two")
        await watch.look()
        assert server.states() == {"one": "ready", "two": "ready"}


async def test_a_new_version_while_the_catalog_is_wrong(store: FakeStore, tmp_path: Path) -> None:
    """It is loaded when the catalog is right again: another bundle is being copied meanwhile."""
    one = write_small_model(tmp_path / "one").folder
    async with _watched(store, tmp_path) as (server, watch):
        store.versions["one"] = 2
        os.utime(one / "config.json", ns=(1, 1))
        (tmp_path / "two").mkdir()
        await _settle(watch)
        assert await server.rank("one") == 1
        assert not watch.up_to_date
        write_small_model(tmp_path / "two")
        await _settle(watch)
        assert server.states() == {"one": "ready", "two": "ready"}
        assert await server.rank("one") == 2


async def test_changes_while_models_are_loading(store: FakeStore, tmp_path: Path) -> None:
    """Changes during the start, and of a new bundle during its first load, are not missed."""
    for name in ("one", "two"):
        write_small_model(tmp_path / name)
    path = tmp_path / "models.yaml"
    path.write_text("- {bundle: one, name: a}\n")
    async with _watched(store, path) as (server, watch):
        path.write_text("- {bundle: one, name: a}\n- {bundle: two, name: b}\n")
        store.versions["one"] = 2
        os.utime(tmp_path / "one" / "model.onnx", ns=(1, 1))
        await watch.look()
        store.hold()
        applied = asyncio.create_task(watch.look())
        await store.loading(2)
        os.utime(tmp_path / "two" / "model.onnx", ns=(1, 1))
        store.release()
        await applied
        store.versions["two"] = 2
        assert [await server.rank(name) for name in ("a", "b")] == [2, 1]
        await _settle(watch)
        assert await server.rank("b") == 2


async def test_an_unexpected_error_does_not_end_the_watch(store: FakeStore, tmp_path: Path) -> None:
    """It is logged once with a traceback, and the next look tries again."""
    write_small_model(tmp_path / "one")
    path = tmp_path / "models.yaml"
    path.write_text("- {bundle: one, name: a}\n")
    failures: list[ZeroDivisionError] = []

    def read() -> tuple[ModelEntry, ...]:
        if failures:
            raise failures.pop()
        return read_catalog(path)

    async with _watched(store, path, read) as (server, watch):
        failures += ZeroDivisionError("twice"), ZeroDivisionError("twice")
        path.write_text("- {bundle: one, name: a, aliases: [x]}\n")
        with capture_logs() as logs:
            await _settle(watch)
            await watch.look()
            await watch.look()
        assert [log["event"] for log in logs] == ["models not reloaded", "models reloaded"]
        assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
        assert await server.rank("x") == 1


async def test_a_new_version_that_is_repaired_after_a_request_has_loaded_the_old_one(
    store: FakeStore, tmp_path: Path
) -> None:
    """The watch looks at the folder of the entry, and is not up to date until it is loaded."""
    for name in ("v1", "v2"):
        write_small_model(tmp_path / name)
    path = tmp_path / "models.yaml"
    path.write_text("- {bundle: v1, name: a, load: on_demand}\n")
    async with _watched(store, path) as (server, watch):
        store.versions["v2"], store.broken = 2, {"v2"}
        assert await server.rank("a") == 1
        path.write_text("- {bundle: v2, name: a, load: on_demand}\n")
        await _settle(watch)
        await server.manager.unload("a")
        assert await server.rank("a") == 1
        await _settle(watch)
        states = [watch.up_to_date]
        store.broken.clear()
        os.utime(tmp_path / "v2" / "model.onnx", ns=(1, 1))
        await _settle(watch)
        states.append(watch.up_to_date)
        assert states == [False, True]
        assert await server.rank("a") == 2


async def test_a_model_that_is_being_unloaded_stops_no_watch(store: FakeStore, tmp_path: Path) -> None:
    """Its new files, and its new entry, are applied after its last request; those of other models at once."""
    for name in ("one", "two", "three"):
        write_small_model(tmp_path / name)
    path = tmp_path / "models.yaml"
    path.write_text("- {bundle: one, name: a}\n- {bundle: two, name: b}\n")
    async with _watched(store, path) as (server, watch):
        held = store.scores.pop("one")
        held.hold()
        accepted = asyncio.create_task(server.rank("a"))
        await held.started()
        unload = asyncio.create_task(server.manager.unload("a"))
        await asyncio.sleep(0)
        store.versions.update(two=2, three=3)
        for name in ("one", "two"):
            os.utime(tmp_path / name / "model.onnx", ns=(1, 1))
        async with asyncio.timeout(10):
            await _settle(watch)
            assert await server.rank("b") == 2
            path.write_text("- {bundle: three, name: a}\n- {bundle: two, name: b, aliases: [x]}\n")
            await _settle(watch)
            assert await server.rank("x") == 2
        held.release()
        assert await accepted == 1
        await unload
        await _settle(watch)
        assert await server.rank("a") == 3
        assert store.loads == ["one", "two", "two", "three"]


def _single(folder: Path) -> tuple[ModelEntry, ...]:
    """Return the entry of `--model`: it has no name."""
    return (ModelEntry(folder=folder, place="--model"),)


async def test_a_model_without_a_catalog_keeps_its_name(store: FakeStore, tmp_path: Path) -> None:
    """`--model` and `--watch`: its folder is gone for some looks, and then has a bundle with another name."""
    folder = write_small_model(tmp_path / "one").folder
    async with _watched_entries(store, None, partial(_single, folder)) as (server, watch):
        store.versions["one"], store.broken = 2, {"one"}
        folder.rename(tmp_path / "old")
        await _settle(watch)
        await watch.look()
        assert (server.states(), watch.up_to_date) == ({"small": "ready"}, False)
        store.broken.clear()
        new = write_small_model(tmp_path / "new")
        write_manifest(new.folder, new.manifest.model_copy(update={"name": "bge"}))
        new.folder.rename(folder)
        await _settle(watch)
        await _settle(watch)
        assert (server.states(), watch.up_to_date) == ({"small": "ready"}, True)
        assert await server.rank("small") == 2


async def test_an_error_of_a_watch_without_a_catalog(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look loads the new files. There is no catalog to read again."""
    folder = write_small_model(tmp_path / "one").folder
    reads: list[Path] = []

    def read() -> tuple[ModelEntry, ...]:
        reads.append(folder)
        return _single(folder)

    async def fail(name: str) -> bool:
        raise OSError(name)

    async with _watched_entries(store, None, read) as (server, watch):
        store.versions["one"] = 2
        os.utime(folder / "model.onnx", ns=(1, 1))
        with monkeypatch.context() as patch:
            patch.setattr(server.manager, "refresh", fail)
            await _settle(watch)
        assert not watch.up_to_date
        await watch.look()
        assert (await server.rank(), watch.up_to_date) == (2, True)
    assert len(reads) == 1
