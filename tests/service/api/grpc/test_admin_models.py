"""Admin with real models: a load belongs to the server, and not to the call that began it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from rerank.v1 import admin_pb2 as pb
from rerank.v1 import admin_pb2_grpc as pb_grpc
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_manager import managing_models
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.models.bundle import write_manifest
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.registry import Registry
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.lane_pool import LanePools
from rerank_service.settings import Settings
from rerank_service.wiring import model_options
from support.admin import OWN_CONNECTION, admin_served
from support.small import write_small_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with two versions of a model, and a copy of the second."""
    write_small_model(tmp_path / "v1")
    for name in ("v2", "v3"):
        bundle = write_small_model(tmp_path / name)
        write_manifest(bundle.folder, bundle.manifest.model_copy(update={"max_tokens": 16}))
    return tmp_path


class _Loads:
    """Loads that a test holds."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.begun = threading.Semaphore(0)


@asynccontextmanager
async def _serving(
    root: Path, loads: "_Loads", bundles_root: Path | None = None
) -> AsyncIterator["pb_grpc.AdminAsyncStub"]:
    """Serve Admin for `v1`, loaded as `small`. Later loads wait until `loads.free` is set. `bundles_root` is `root` by
    default."""
    settings = Settings(cache=root / "cache")

    def options_of(entry: ModelEntry) -> ModelOptions:  # called in the thread of a load
        loads.begun.release()
        loads.free.wait()
        return model_options(entry, settings)

    loader = VersionLoader(options_of, read_limits=lambda: (), read_memory=lambda: None)
    limits = LiveLimits(1000, 1e9)
    capacity = ModelCapacity(LanePools(), Admissions(limits, asyncio.get_running_loop().time), limits)
    loads.free.set()
    async with managing_models(Registry(), loader, capacity) as manager:
        await manager.start([ModelEntry(folder=root / "v1", aliases=("alias",), place="--model")])
        loads.begun.acquire()
        loads.free.clear()
        try:
            async with (
                admin_served(manager, root=bundles_root or root) as address,
                grpc.aio.insecure_channel(address, OWN_CONNECTION) as channel,
            ):
                yield pb_grpc.AdminStub(channel)
        finally:
            loads.free.set()


async def _small(stub: "pb_grpc.AdminAsyncStub") -> pb.Bundle:
    return (await stub.ListBundles(pb.ListBundlesRequest())).bundles[0]


async def test_a_load_continues_after_the_end_of_its_call(root: Path) -> None:
    """The old version serves meanwhile. Calls for another version or an unload are ABORTED."""
    loads = _Loads()
    async with _serving(root, loads) as stub:
        ended = stub.LoadModel(pb.LoadModelRequest(name="small", folder="v2"))
        await asyncio.to_thread(loads.begun.acquire)
        ended.cancel()  # gRPC cancels the handler, as after a deadline
        for call in (
            stub.LoadModel(pb.LoadModelRequest(name="small", folder="v3")),
            stub.UnloadModel(pb.UnloadModelRequest(name="small")),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="ABORTED"):
                await call
        small = await _small(stub)
        assert (small.state, small.folder) == (pb.BUNDLE_STATE_READY, str(root / "v1"))
        loads.free.set()
        while (await _small(stub)).folder != str(root / "v2"):  # no other call loads it
            pass
        again = await stub.LoadModel(pb.LoadModelRequest(name="small", folder="v2"))
        assert again.bundle == await _small(stub)


async def test_the_alias_of_a_model_is_taken(root: Path) -> None:
    """A new model cannot have it as its name."""
    loads = _Loads()
    async with _serving(root, loads) as stub:
        loads.free.set()
        with pytest.raises(grpc.aio.AioRpcError, match="ALREADY_EXISTS"):
            await stub.LoadModel(pb.LoadModelRequest(name="alias", folder="v2"))
        assert [bundle.name for bundle in (await stub.ListBundles(pb.ListBundlesRequest())).bundles] == [
            "small",
            "v2",
            "v3",
        ]


async def test_a_load_is_taken_back(root: Path) -> None:
    """The folder that the server was started with is outside the root of the bundles. Others there are not allowed."""
    loads, inside = _Loads(), root / "inside"
    inside.mkdir()
    (root / "v2").rename(inside / "v2")
    async with _serving(root, loads, inside) as stub:
        loads.free.set()
        await stub.LoadModel(pb.LoadModelRequest(name="small", folder="v2"))
        back = await stub.LoadModel(pb.LoadModelRequest(name="small", folder=str(root / "v1")))
        assert (back.bundle.folder, back.bundle.state) == (str(root / "v1"), pb.BUNDLE_STATE_READY)
        with pytest.raises(grpc.aio.AioRpcError, match="PERMISSION_DENIED"):
            await stub.LoadModel(pb.LoadModelRequest(name="small", folder=str(root / "v3")))
