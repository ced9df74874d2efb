"""Several models in one process: a models file, loads on demand, swaps under load, changes of files."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from rerank.client import AsyncRerankClient
from rerank_service.models.bundle import write_manifest
from support.process import Process, started
from support.rest_calls import get, post
from support.small import write_small_model

FILE = """\
- {{bundle: models/a, name: a, aliases: [first]}}
- {{bundle: current, name: b, weight: {weight}}}
- {{bundle: models/late, name: late, load: on_demand}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server with three models, and their files."""

    process: Process
    folder: Path

    def write(self, content: str) -> None:
        """Replace the models file."""
        new = self.folder / ".new"
        new.write_text(content)
        new.rename(self.folder / "models.yaml")

    def link(self, version: str) -> None:
        """Let the bundle of model b be another one."""
        new = self.folder / ".link"
        new.symlink_to(self.folder / "models" / version)
        new.rename(self.folder / "current")

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the models of /v1/models by name."""
        return {model["id"]: model for model in get(f"{self.process.rest}/v1/models").json()["data"]}

    async def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Wait until the models are as a test wants them."""
        async with asyncio.timeout(60):
            while not condition(await asyncio.to_thread(self.models)):
                await asyncio.sleep(0.05)


def _write_models(folder: Path) -> None:
    for number, name in enumerate(("a", "b1", "b2", "late")):
        bundle = write_small_model(folder / "models" / name)
        write_manifest(bundle.folder, bundle.manifest.model_copy(update={"max_tokens": 32 + number}))
    (folder / "models.yaml").write_text(FILE.format(weight=1))
    (folder / "current").symlink_to(folder / "models" / "b1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that follows its files."""
    folder = tmp_path_factory.mktemp("catalog")
    _write_models(folder)
    with started("--models", str(folder / "models.yaml"), "--watch") as process:
        yield Server(process, folder)


async def _watch(stub: Any, name: str, *statuses: str) -> None:
    """Read a health watch until these statuses have been seen in order."""
    wanted = list(statuses)
    async with asyncio.timeout(60):
        async for update in stub.Watch(health_pb2.HealthCheckRequest(service=name)):
            if health_pb2.HealthCheckResponse.ServingStatus.Name(update.status) == wanted[0]:
                wanted.pop(0)
            if not wanted:
                return


def test_a_model_on_demand_is_listed_and_loaded_by_its_first_request(server: Server) -> None:
    """It accepts requests before it is loaded. The memory of loaded models is measured."""
    rest = server.process.rest
    assert server.process.ready["models"] == "a,b,late"
    loaded = [event["model"] for event in server.process.before if event["event"] == "model loaded"]
    assert loaded == ["a", "b"]
    assert [(name, model["state"], model["ready"]) for name, model in server.models().items()] == [
        ("a", "ready", True),
        ("b", "ready", True),
        ("late", "unloaded", True),
    ]
    assert get(f"{rest}/v2/models/late/ready").json() == {"name": "late", "ready": True}
    body = {"query": "0", "documents": ["1", "2"]}
    answers = {name: post(f"{rest}/v2/rerank", json={**body, "model": name}) for name in ("late", "first", "")}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert server.models()["late"]["state"] == "ready"
    unknown = post(f"{rest}/v2/rerank", json={**body, "model": "rerank-v99"})
    assert (unknown.status_code, "served: a, first, b, late" in unknown.text) == (404, True)
    families = {family.name: family for family in text_string_to_metric_families(get(f"{rest}/metrics").text)}
    assert [sample.value for sample in families["rerank_config_last_reload_successful"].samples] == [1]
    memory = families["rerank_model_memory_bytes"].samples
    assert {sample.labels["model"]: sample.value for sample in memory} == {
        name: model["memory_bytes"] for name, model in server.models().items()
    }


async def test_a_new_version_under_load_loses_no_request(server: Server) -> None:
    """A link to another bundle is a new version. It takes the requests when it is loaded, and none fails."""
    before = server.models()["b"]["digest"]
    done = asyncio.Event()

    async def load(client: AsyncRerankClient) -> int:
        count = 0
        while not done.is_set():
            response = await client.rerank("0", ["3", "2", "1"], model="b")
            assert [result.index for result in response.results] == [0, 1, 2]
            count += 1
        return count

    async with AsyncRerankClient(server.process.grpc) as client:
        workers = [asyncio.create_task(load(client)) for _ in range(4)]
        for version in ("b2", "b1"):
            present = server.models()["b"]["digest"]
            server.link(version)
            await server.until(lambda models, present=present: models["b"]["digest"] != present)  # type: ignore[misc]
        done.set()
        assert min(await asyncio.gather(*workers)) > 0
    assert server.models()["b"]["digest"] == before


async def test_the_models_file_is_followed(server: Server) -> None:
    """A removed model is gone, its health too, and a wrong file changes nothing."""
    async with grpc.aio.insecure_channel(server.process.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        gone = asyncio.create_task(_watch(stub, "rerank.v1.Rerank/first", "SERVING", "SERVICE_UNKNOWN"))
        added = asyncio.create_task(_watch(stub, "rerank.v1.Rerank/new", "SERVICE_UNKNOWN", "SERVING"))
        server.write("- {bundle: models/b2, name: new}\n- {bundle: current, name: b, wieght: 2}\n")
        server.write("- {bundle: models/b2, name: new}\n- {bundle: current, name: b, weight: 2}\n")
        await asyncio.gather(gone, added)
        assert list(server.models()) == ["new", "b"]
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        async with httpx.AsyncClient(base_url=server.process.rest, timeout=60) as http:
            assert (await http.get("/info")).json()["model_id"] == "new"
            assert 'model="a"' not in (await http.get("/metrics")).text
        server.write(FILE.format(weight=1))
        await server.until(lambda models: list(models) == ["a", "b", "late"])


def test_one_model_that_fails_ends_the_start(tmp_path: Path) -> None:
    """The error is one line with the entry, and the exit status is that of a single model."""
    _write_models(tmp_path)
    (tmp_path / "models" / "b1" / "model.onnx").write_bytes(b"altered")
    with (
        pytest.raises(AssertionError, match=r"models\.yaml, line 2: .*model\.onnx was altered"),
        started("--models", str(tmp_path / "models.yaml")),
    ):
        raise NotImplementedError("the server has started")
