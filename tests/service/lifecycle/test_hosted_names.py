"""Hosted names that a pattern accepts, while the models of the server change."""

import asyncio
from pathlib import Path

import pytest

from rerank_service.errors import UnknownModel
from rerank_service.lifecycle.model_control_errors import LoadFailed
from support.managed import FakeStore, entry, managed

_PATTERNS = ("*rerank*[0-9]*",)


@pytest.mark.parametrize("broken", [False, True])
async def test_a_model_that_an_operator_adds_changes_no_hosted_name(store: FakeStore, *, broken: bool) -> None:
    """They mean the only model of the catalog: during the load, after it, and if it fails."""
    store.versions, store.broken = {"v2": 2}, {"v2"} if broken else set()
    async with managed(store, entry("docs"), hosted_patterns=_PATTERNS) as server:
        store.hold()
        load = asyncio.create_task(server.manager.load("canary", Path("/bundles/v2")))
        await store.loading(2)
        assert await server.rank("rerank-v9") == 1
        store.release()
        if broken:
            with pytest.raises(LoadFailed):
                await load
        else:
            await load
            assert await server.rank("canary") == 2
        assert await server.rank("rerank-v9") == 1


async def test_a_model_that_comes_into_the_catalog_ends_hosted_names(store: FakeStore) -> None:
    """Also if an operator had added it before."""
    before, canary = entry("docs"), entry("canary")
    async with managed(store, before, hosted_patterns=_PATTERNS) as server:
        await server.manager.load("canary", canary.folder)
        await server.manager.change_catalog((before,), (before, canary))
        with pytest.raises(UnknownModel, match="served: docs, canary"):
            await server.rank("rerank-v9")
        await server.manager.change_catalog((before, canary), (before,))
        assert await server.rank("rerank-v9") == 1
