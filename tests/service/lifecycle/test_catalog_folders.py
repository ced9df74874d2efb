"""The folders that models have in the catalog, while an operator loads them from others."""

from pathlib import Path

from support.managed import FakeStore, entry, managed


async def test_an_operator_returns_to_the_folder_of_the_catalog(store: FakeStore, tmp_path: Path) -> None:
    """The entry is that of the catalog again: a link stays one, and its digest is compared."""
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    store.versions["v2"] = 2
    a = entry("a", folder=f"{tmp_path}/current", digest="0" * 64)
    async with managed(store, a) as server:
        [managed_model] = server.manager.models
        await server.manager.load("a", Path("/bundles/v2"))
        assert await server.rank() == 2
        assert (managed_model.wanted.folder, managed_model.wanted.digest) == (Path("/bundles/v2"), None)
        [status] = server.manager.statuses()
        assert (status.folder, status.catalog_folder) == (Path("/bundles/v2"), a.folder)
        await server.manager.load("a", tmp_path / "v1")
        assert await server.rank() == 1
        assert managed_model.wanted == a


async def test_the_folder_in_the_catalog_is_that_of_the_last_change(store: FakeStore) -> None:
    """Also of a model that an operator had added before, and that had none."""
    a, b = entry("a"), entry("b", folder="b1")
    async with managed(store, a) as server:
        await server.manager.load("b", Path("/bundles/b2"))
        assert [status.catalog_folder for status in server.manager.statuses()] == [a.folder, None]
        moved = entry("a", folder="a2")
        await server.manager.change_catalog((a,), (moved, b))
        assert [status.catalog_folder for status in server.manager.statuses()] == [moved.folder, b.folder]
