"""The typed client of the service Admin."""

import asyncio
from pathlib import Path

import grpc
import pytest

from rerank.admin import AdminClient
from rerank.v1 import admin_pb2 as pb
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.models.model_state import ModelState
from rerank_service.scheduling.caller import Caller
from support.admin import StatedModels, admin_client, admin_served
from support.small import write_small_model


@pytest.fixture
def models(tmp_path: Path) -> StatedModels:
    """Return one model that is not loaded."""
    folder = write_small_model(tmp_path / "docs").folder
    return StatedModels(ModelStatus(name="docs", folder=folder, state=ModelState.UNLOADED))


async def test_client_has_each_method(models: StatedModels, tmp_path: Path) -> None:
    """A folder may be a path or text. Without one, the field stays empty."""
    write_small_model(tmp_path / "v2")
    async with admin_served(models, root=tmp_path) as address:
        with admin_client(address) as client:
            loaded = await asyncio.to_thread(client.load, "docs")
            assert (loaded.name, loaded.state) == ("docs", pb.BUNDLE_STATE_READY)
            await asyncio.to_thread(client.load, "docs", "v2")
            await asyncio.to_thread(client.load, "docs", tmp_path / "v2")
            assert models.loaded == [("docs", None), *[("docs", tmp_path / "v2")] * 2]
            assert (await asyncio.to_thread(client.unload, "docs")).state == pb.BUNDLE_STATE_UNLOADED
            assert [bundle.name for bundle in await asyncio.to_thread(client.bundles)] == ["docs", "docs"]
            await asyncio.to_thread(client.remove, "docs")
            assert [bundle.name for bundle in await asyncio.to_thread(client.bundles)] == ["docs", "v2"]
            await asyncio.to_thread(lambda: client.set_readiness(ready=False))
            assert models.ready is False


async def test_key_and_timeout_are_sent(models: StatedModels) -> None:
    """The deadline of the client ends its wait."""
    keys = Keys(known=[KnownKey(digest("root"), Caller("ops", admin=True))])
    models.free.clear()
    async with admin_served(models, keys=keys) as address:
        with admin_client(address) as client, pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            await asyncio.to_thread(client.bundles)
        late = pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED")
        with admin_client(address, api_key="root", timeout=0.3) as client, late:
            await asyncio.to_thread(client.load, "docs")


def test_contradictions_of_tls_are_errors() -> None:
    """The other clients report them, too."""
    with pytest.raises(ValueError, match="tls_cert and tls_key belong together"):
        AdminClient(tls_cert="tls.crt")
