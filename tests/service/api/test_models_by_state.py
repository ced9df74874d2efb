"""Models that are not loaded, in the look-ups and health checks of both protocols."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.models import registered_model
from rerank_service.models.model_state import ModelState
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.served_model import ModelInfo
from rerank_service.scheduling.caller import Caller
from support.running import Running, Served, served

BODY = {"query": "0", "documents": ["1"], "model": "late"}
INFO = ModelInfo(name="late", aliases=("tardy",), source="tests", max_tokens=32)


def _register(core: Running, *, on_demand: bool = False, first: bool = False) -> RegisteredModel:
    """Add a model that is not loaded. With `on_demand`, its loads never end."""
    late = RegisteredModel(INFO)
    late.load_on_demand = asyncio.get_running_loop().create_future if on_demand else None
    registered = [*core.registry.registered, late]
    core.registry.register(registered[::-1] if first else registered)
    return late


@pytest.mark.parametrize("on_demand", [False, True])
async def test_an_unloaded_model_is_listed(edges: Served, on_demand: bool) -> None:
    """It is ready if its first request loads it."""
    _register(edges.core, on_demand=on_demand)
    edges.routes.ready = True
    listed = {model.name: model for model in await edges.client.models()}
    assert (listed["late"].state, listed["late"].ready) == (pb.MODEL_STATE_UNLOADED, on_demand)
    assert (listed["small"].state, listed["small"].ready) == (pb.MODEL_STATE_READY, True)
    assert not listed["late"].HasField("memory_bytes")
    [small, late] = (await edges.http.get("/v1/models")).json()["data"]
    assert (small["state"], late["state"], late["ready"], late["memory_bytes"]) == (
        "ready",
        "unloaded",
        on_demand,
        None,
    )
    ready = await edges.http.get("/v2/models/tardy/ready")
    assert (ready.status_code, ready.json()) == (200 if on_demand else 503, {"name": "late", "ready": on_demand})


async def test_requests_for_a_model_that_is_not_loaded_are_told_to_retry(
    edges: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and UNAVAILABLE, with the time to retry after, long before the deadline."""
    monkeypatch.setattr(registered_model, "_WAIT_SHARE", 0.005)
    late = _register(edges.core)
    response = await edges.http.post("/v2/rerank", json=BODY)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    late.load_on_demand = asyncio.get_running_loop().create_future
    response = await edges.http.post("/v2/rerank", json=BODY, headers={"x-request-timeout": "60"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    async with grpc.aio.insecure_channel(edges.address) as channel:
        request = pb.RerankRequest(query="0", documents=[pb.Document(text="1")], model="late")
        with pytest.raises(grpc.aio.AioRpcError, match="still loading") as failed:
            await rerank_pb2_grpc.RerankStub(channel).Rerank(request, timeout=60)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not late.live_requests


async def test_tei_describes_a_default_model_that_is_not_loaded(edges: Served) -> None:
    """Its manifest has most of it."""
    _register(edges.core, on_demand=True, first=True)
    info = (await edges.http.get("/info")).json()
    assert (info["model_id"], info["max_input_length"]) == ("late", 32)
    assert (await edges.http.get("/openapi.json")).status_code == 200


async def test_keys_of_other_models_do_not_load_one(core: Running) -> None:
    """The check of the key comes first, by name or alias."""
    late = _register(core)
    late.load_on_demand = lambda: pytest.fail("a request began to load the model")
    callers = {"a": Caller("a", models=frozenset({"small"})), "b": Caller("b", models=frozenset({"tardy"}))}
    keys = Keys(known=[KnownKey(digest(name), caller) for name, caller in callers.items()])
    async with served(core, keys=keys) as edges:
        refused = await edges.http.post("/v2/rerank", json=BODY, headers={"authorization": "Bearer a"})
        assert refused.status_code == 403
        late.load_on_demand = None
        listed = (await edges.http.get("/v1/models", headers={"authorization": "Bearer b"})).json()["data"]
        assert [model["id"] for model in listed] == ["late"]


async def test_health_of_each_model(edges: Served) -> None:
    """By name and alias, also in a watch. A server that is not ready has no ready model."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def status(name: str) -> str:
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await status("rerank.v1.Rerank/a")
        await edges.grpc.set_ready(ready=True, models={"a": True, "b": False})
        assert [await status(f"rerank.v1.Rerank/{name}") for name in "ab"] == ["SERVING", "NOT_SERVING"]
        await edges.grpc.set_ready(ready=False, models={"a": True})
        assert [await status(name) for name in ("", "rerank.v1.Rerank/a")] == ["NOT_SERVING", "NOT_SERVING"]
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await status("rerank.v1.Rerank/b")


def test_states_have_one_name_everywhere() -> None:
    """In the proto file, and in the JSON of /v1/models."""
    names = {name.removeprefix("MODEL_STATE_").lower() for name, _ in pb.ModelState.items()}
    assert names - {"unspecified"} == {state.value for state in ModelState}
