"""The service Admin over a real port: messages, errors, keys, folders, log and metrics."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from rerank.v1 import admin_pb2 as pb
from rerank.v1 import admin_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.request_observation import Observing
from rerank_service.api.tls.store import CertificateStore
from rerank_service.errors import NotReady, RequestError, UnknownModel
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.lifecycle.model_control_errors import InCatalog, LoadConflict, LoadFailed, NameTaken, NoMemory
from rerank_service.models.bundle import Bundle
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo
from rerank_service.scheduling.caller import Caller
from support.admin import OWN_CONNECTION, StatedModels, admin_client, admin_served
from support.http2 import START, frames, headers, message
from support.observed import Recorder
from support.running import Served
from support.small import write_small_model
from support.tls import write_pems

INFO = ModelInfo(
    name="docs",
    aliases=("d",),
    source="org/docs",
    digest="ab" * 32,
    precision="int8",
    provider="CPUExecutionProvider",
    max_tokens=512,
    max_batch_tokens=512,
    lanes=2,
)
KEYS = Keys(
    ["plain"],
    [
        KnownKey(digest("root"), Caller("ops", admin=True)),
        KnownKey(digest("search"), Caller("search")),
    ],
)


def _docs(folder: Path) -> ModelStatus:
    return ModelStatus(
        name="docs",
        aliases=("d",),
        folder=folder,
        state=ModelState.READY,
        reason="the new version failed: model.onnx was altered",
        digest=INFO.digest,
        on_demand=True,
        weight=2.5,
        memory_bytes=5_000_000_000,
        live_requests=3,
        info=INFO,
    )


@pytest.fixture
def models(small_model: Bundle) -> StatedModels:
    """Return one model that serves, with all facts."""
    return StatedModels(_docs(small_model.folder))


@pytest.fixture
async def stub(models: StatedModels) -> "AsyncIterator[pb_grpc.AdminAsyncStub]":
    """Yield the methods of a server without keys and without --bundles-root."""
    async with admin_served(models) as address, _channel(address) as channel:
        yield pb_grpc.AdminStub(channel)


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, OWN_CONNECTION)


def _field(error: grpc.aio.AioRpcError) -> str:
    """Return the field that the details of a status name."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    violations = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(violations)
    return str(violations.field_violations[0].field)


async def test_list_has_models_and_then_unused_bundles(models: StatedModels, tmp_path: Path) -> None:
    """Each with all that is known. A bundle of a model is listed once."""
    new = write_small_model(tmp_path / "new")
    write_small_model(tmp_path / "used")
    models = StatedModels(
        _docs(tmp_path / "used"), ModelStatus(name="a", folder=tmp_path / "gone", state=ModelState.FAILED, reason="why")
    )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    async with admin_served(models, root=tmp_path) as address, _channel(address) as channel:
        bundles = (await pb_grpc.AdminStub(channel).ListBundles(pb.ListBundlesRequest())).bundles
    assert bundles[0] == pb.Bundle(
        name="docs",
        aliases=["d"],
        folder=str(tmp_path / "used"),
        state=pb.BUNDLE_STATE_READY,
        reason="the new version failed: model.onnx was altered",
        digest=INFO.digest,
        on_demand=True,
        weight=2.5,
        memory_bytes=5_000_000_000,
        live_requests=3,
        precision="int8",
        provider="CPUExecutionProvider",
        lanes=2,
    )
    assert bundles[1] == pb.Bundle(
        name="a", folder=str(tmp_path / "gone"), state=pb.BUNDLE_STATE_FAILED, reason="why", weight=1.0
    )
    assert bundles[2].reason.startswith(f"{tmp_path / 'broken' / 'manifest.json'} is not JSON")
    assert (bundles[2].name, bundles[2].state) == ("broken", pb.BUNDLE_STATE_FAILED)
    assert bundles[3] == pb.Bundle(
        name="new", folder=str(tmp_path / "new"), state=pb.BUNDLE_STATE_AVAILABLE, digest=new.digest
    )
    assert len(bundles) == 4


@pytest.mark.parametrize("state", ModelState)
async def test_each_state_has_a_value(state: ModelState, tmp_path: Path) -> None:
    """With the same name."""
    models = StatedModels(ModelStatus(name="a", folder=tmp_path, state=state))
    async with admin_served(models) as address, _channel(address) as channel:
        (bundle,) = (await pb_grpc.AdminStub(channel).ListBundles(pb.ListBundlesRequest())).bundles
    assert pb.BundleState.Name(bundle.state) == f"BUNDLE_STATE_{state.name}"


async def test_load_and_unload_return_the_model(stub: "pb_grpc.AdminAsyncStub", models: StatedModels) -> None:
    """A load without a folder is one of the model's folder."""
    unloaded = await stub.UnloadModel(pb.UnloadModelRequest(name="docs"))
    assert unloaded.bundle.state == pb.BUNDLE_STATE_UNLOADED
    loaded = await stub.LoadModel(pb.LoadModelRequest(name="docs"))
    assert (loaded.bundle.name, loaded.bundle.state) == ("docs", pb.BUNDLE_STATE_READY)
    assert models.loaded == [("docs", None)]


async def test_removed_model_is_not_listed(stub: "pb_grpc.AdminAsyncStub") -> None:
    """The response has no fields. A second call finds no model."""
    assert await stub.RemoveModel(pb.RemoveModelRequest(name="docs")) == pb.RemoveModelResponse()
    assert not (await stub.ListBundles(pb.ListBundlesRequest())).bundles
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.RemoveModel(pb.RemoveModelRequest(name="docs"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_folder_of_a_load_is_resolved(models: StatedModels, tmp_path: Path) -> None:
    """A path in --bundles-root. The loader gets the folder that was checked, without links."""
    write_small_model(tmp_path / "v2")
    (tmp_path / "current").symlink_to("v2")
    async with admin_served(models, root=tmp_path) as address, _channel(address) as channel:
        await pb_grpc.AdminStub(channel).LoadModel(pb.LoadModelRequest(name="new", folder="current"))
    assert models.loaded == [("new", tmp_path / "v2")]


async def test_folder_outside_is_refused_before_it_is_loaded(
    stub: "pb_grpc.AdminAsyncStub", models: StatedModels
) -> None:
    """An existing folder and a missing one give the same error."""
    for folder in ("/etc", "/missing", "../.."):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.LoadModel(pb.LoadModelRequest(name="docs", folder=folder))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caught.value.details() == (
            f"folder {folder!r} is not allowed: --bundles-root is unset, so only the folders of the models of the "
            "server are allowed (ListBundles)"
        )
    assert models.loaded == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownModel("m"), grpc.StatusCode.NOT_FOUND),
        (LoadFailed("m"), grpc.StatusCode.FAILED_PRECONDITION),
        (NoMemory("m"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (NameTaken("m"), grpc.StatusCode.ALREADY_EXISTS),
        (LoadConflict("m"), grpc.StatusCode.ABORTED),
        (InCatalog("m"), grpc.StatusCode.FAILED_PRECONDITION),
        (NotReady("m"), grpc.StatusCode.UNAVAILABLE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RequestError) else None,
)
async def test_errors_have_the_documented_status(
    stub: "pb_grpc.AdminAsyncStub", models: StatedModels, error: RequestError, code: grpc.StatusCode
) -> None:
    """The message is the reason."""
    models.error = error
    for call in (
        stub.LoadModel(pb.LoadModelRequest(name="docs")),
        stub.UnloadModel(pb.UnloadModelRequest(name="docs")),
        stub.RemoveModel(pb.RemoveModelRequest(name="docs")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert (caught.value.code(), caught.value.details()) == (code, "m")


@pytest.mark.parametrize("name", ["", "default", "a" * 201, "a\nb", " a"])
async def test_wrong_names_are_rejected(stub: "pb_grpc.AdminAsyncStub", models: StatedModels, name: str) -> None:
    """A name is in log lines and metrics. "default" means another model in requests."""
    for call in (stub.LoadModel(pb.LoadModelRequest(name=name)), stub.UnloadModel(pb.UnloadModelRequest(name=name))):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert (caught.value.code(), _field(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "name")
    assert models.loaded == []


async def test_readiness_is_set_explicitly(stub: "pb_grpc.AdminAsyncStub", models: StatedModels) -> None:
    """An empty message does not drain a server."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SetReadiness(pb.SetReadinessRequest())
    assert (caught.value.code(), _field(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "ready")
    assert models.ready
    for ready in (False, True):
        await stub.SetReadiness(pb.SetReadinessRequest(ready=ready))
        assert models.ready is ready


async def test_load_has_the_deadline_of_the_client_only(models: StatedModels) -> None:
    """The default deadline of the server is for the time until the message arrives."""
    models.free.clear()
    async with admin_served(models, default_timeout=3.0) as address, _channel(address) as channel:
        stub = pb_grpc.AdminStub(channel)
        loading = asyncio.ensure_future(_awaited(stub.LoadModel(pb.LoadModelRequest(name="docs"))))
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # it begins after the load, and lasts longer than 3 s
            await stub.LoadModel(pb.LoadModelRequest(name="docs"), timeout=3.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        models.free.set()
        assert (await loading).bundle.state == pb.BUNDLE_STATE_READY


async def _awaited(call: Any) -> Any:
    return await call


REQUESTS = {
    "LoadModel": pb.LoadModelRequest(name="docs"),
    "UnloadModel": pb.UnloadModelRequest(name="docs"),
    "RemoveModel": pb.RemoveModelRequest(name="docs"),
    "ListBundles": pb.ListBundlesRequest(),
    "SetReadiness": pb.SetReadinessRequest(ready=False),
}


@pytest.mark.parametrize("method", [method.name for method in pb.DESCRIPTOR.services_by_name["Admin"].methods])
async def test_each_method_needs_an_admin_key(models: StatedModels, method: str) -> None:
    """Neither a key of --api-keys, nor a key of the file without `admin: true`, may use Admin."""
    async with admin_served(models, keys=KEYS) as address, _channel(address) as channel:
        call = getattr(pb_grpc.AdminStub(channel), method)
        for key, code in (
            (None, grpc.StatusCode.UNAUTHENTICATED),
            ("wrong", grpc.StatusCode.UNAUTHENTICATED),
            ("plain", grpc.StatusCode.PERMISSION_DENIED),
            ("search", grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(REQUESTS[method], metadata=_bearer(key))
            assert caught.value.code() is code
        assert models.loaded == []
        assert models.ready
        await call(REQUESTS[method], metadata=_bearer("root"))


def _bearer(key: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),) if key else ()


async def test_calls_are_observed_and_logged(models: StatedModels) -> None:
    """The record has protocol, method and key. The log has who changed which model, and why that failed."""
    recorder = Recorder()
    async with admin_served(models, keys=KEYS, observing=Observing(recorder)) as address, _channel(address) as channel:
        stub = pb_grpc.AdminStub(channel)
        with capture_logs() as lines:
            models.error = LoadFailed("model.onnx was altered")
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.LoadModel(
                    pb.LoadModelRequest(name="docs"), metadata=(*_bearer("root"), ("x-request-id", "mine"))
                )
        record = await recorder.next()
    assert (record.protocol, record.call, record.route) == (
        "grpc",
        "rerank.v1.Admin/LoadModel",
        "rerank.v1.Admin/LoadModel",
    )
    assert (record.id, record.key, record.status) == ("mine", "ops", "FAILED_PRECONDITION")
    assert recorder.started == ["rerank.v1.Admin/LoadModel"]
    common = {"action": "load", "model": "docs", "folder": "", "key": "ops", "request_id": "mine"}
    begun, failed = [{**line, "client": ""} for line in lines]
    assert begun == common | {"event": "admin request", "log_level": "info", "client": ""}
    assert failed == common | {
        "event": "admin request failed",
        "log_level": "warning",
        "client": "",
        "reason": "load_failed",
        "error": "model.onnx was altered",
    }


async def test_port_has_health_checks_and_reflection(models: StatedModels, edges: Served) -> None:
    """The port of rerank.v1.Rerank does not have Admin."""
    async with admin_served(models) as address, _channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "rerank.v1.Admin", "live"):
            response = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert response.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await health.Check(health_pb2.HealthCheckRequest(service="rerank.v1.Rerank"))
    async with _channel(edges.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await pb_grpc.AdminStub(channel).ListBundles(pb.ListBundlesRequest())


async def test_tls_is_as_on_the_other_ports(models: StatedModels, tmp_path: Path) -> None:
    """With client certificates, too."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with admin_served(models, tls=CertificateStore(pems.files(client_ca=True))) as address:
        with admin_client(address, tls_ca=pems.ca, tls_cert=pems.cert, tls_key=pems.key) as client:
            assert [bundle.name for bundle in await asyncio.to_thread(client.bundles)] == ["docs"]
        with admin_client(address, tls_ca=pems.ca) as client, pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            await asyncio.to_thread(client.bundles)


@pytest.mark.parametrize(("without", "ready"), [("", False), ("te", True)])
async def test_pages_cannot_call(models: StatedModels, without: str, ready: bool) -> None:
    """gRPC ends a call without `te: trailers`. A page in a browser cannot set this header (fetch, "forbidden")."""
    async with admin_served(models) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        call = headers(1, "/rerank.v1.Admin/SetReadiness", without=without)
        request = pb.SetReadinessRequest(ready=False).SerializeToString()
        writer.write(START + call + message(1, request))
        received = b""
        while not any(stream == 1 for _, stream, _ in frames(received)):
            received += await reader.read(65536)
        writer.close()
    assert models.ready is ready
