"""Load versions of real bundles, and measure their memory."""

import asyncio
from pathlib import Path

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import Names


async def _no_room() -> bool:
    return False


def _loader(cache: Path) -> VersionLoader:
    return VersionLoader(
        lambda entry: ModelOptions(
            folder=entry.folder, cache=cache, lanes=1, names=Names(entry.name), digest=entry.digest
        )
    )


def _entry(bundle: Bundle, digest: str | None = None) -> ModelEntry:
    return ModelEntry(folder=bundle.folder, place="test", name="a", digest=digest)


async def test_memory_of_a_model_is_at_least_that_of_its_weights(starter: Bundle, tmp_path: Path) -> None:
    """The starter model has 45 MB of weights. Its measured memory includes its session and its warm-up."""
    version = await _loader(tmp_path).load(_entry(starter), "", _no_room)
    assert version is not None
    assert version.memory_bytes is not None
    assert 40e6 < version.memory_bytes < 1e9
    assert version.model.info.name == "a"


async def test_the_version_that_serves_is_not_loaded(small_model: Bundle, tmp_path: Path) -> None:
    """The folder is verified all the same, and a pinned digest is compared."""
    loader = _loader(tmp_path)
    assert await loader.load(_entry(small_model), small_model.digest, _no_room) is None
    with pytest.raises(BundleInvalid, match="is required"):
        await loader.load(_entry(small_model, "0" * 64), small_model.digest, _no_room)


async def test_loads_run_one_after_the_other(small_model: Bundle, tmp_path: Path) -> None:
    """Also those of different models."""
    running: list[int] = []

    class Counted(VersionLoader):
        """Counts the loads that run at the same time."""

        async def _checked(self, selected: object) -> None:  # type: ignore[override]
            running.append(1)
            await asyncio.sleep(0.01)
            assert running == [1]
            running.pop()

    loader = Counted(lambda entry: ModelOptions(folder=entry.folder, cache=tmp_path, lanes=1))
    await asyncio.gather(*(loader.load(_entry(small_model), "", _no_room) for _ in range(3)))
