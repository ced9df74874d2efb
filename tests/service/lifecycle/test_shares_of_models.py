"""The shares of the lanes that models get."""

from pathlib import Path

import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.scheduling.lane_pool import LanePool, Share
from support.managed import FakeStore, managed


async def test_each_model_has_a_share_of_its_own(
    store: FakeStore, small_model: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of `--model` is that of its manifest at the start. A later version has the name of another model."""
    names: list[str] = []
    share = LanePool.share

    def noted(pool: LanePool, name: str, weight: float = 1.0) -> Share:
        names.append(name)
        return share(pool, name, weight)

    monkeypatch.setattr(LanePool, "share", noted)
    store.versions, store.manifest_names = {"v2": 2}, {"v2": "canary"}
    async with managed(store, ModelEntry(folder=small_model.folder, place="--model")) as server:
        await server.manager.load("canary", Path("/bundles/v2"))
        names.clear()
        await server.manager.load("small", Path("/bundles/v2"))
        assert await server.rank("small") == 2
    assert set(names) == {"small"}
