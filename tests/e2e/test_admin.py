"""Admin of a real server: models change while it serves. Keys, folders, readiness and the log, in one process."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.admin import AdminClient
from rerank.v1 import admin_pb2 as pb
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.ranking.scores import Activation
from support.process import Process, command, environment, started
from support.rest_calls import get, post
from support.small import write_small_model

OLD, NEW = 0.9526, 3.0
"""Scores of the document "1 2" by the version with a sigmoid, and by the one without."""
READY, UNLOADED = pb.BUNDLE_STATE_READY, pb.BUNDLE_STATE_UNLOADED


@dataclass(frozen=True, slots=True)
class Served:
    """A server with Admin, and the folder of its bundles."""

    process: Process
    address: str
    root: Path

    def admin(self, key: str = "root", **options: Any) -> AdminClient:
        """Return a client of Admin."""
        return AdminClient(self.address, api_key=key, **options)

    def score(self, model: str = "small") -> float:
        """Rank one document, and return its score."""
        response = self.post(model)
        response.raise_for_status()
        return round(float(response.json()["results"][0]["relevance_score"]), 4)

    def post(self, model: str = "small") -> httpx.Response:
        """Rank one document."""
        body = {"model": model, "query": "0", "documents": ["1 2"]}
        return post(f"{self.process.rest}/v2/rerank", json=body, headers={"authorization": "Bearer search"})


def _without_sigmoid(folder: Path) -> Bundle:
    bundle = write_small_model(folder)
    return write_manifest(folder, bundle.manifest.model_copy(update={"activation": Activation.IDENTITY}))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a server with one model, `small`. The root has a new version of it, and an altered one."""
    root = tmp_path_factory.mktemp("bundles")
    write_small_model(root / "v1")
    _without_sigmoid(root / "v2")
    write_small_model(root / "altered")
    (root / "altered" / "config.json").write_text("{}")
    keys = root.parent / "keys.yaml"
    keys.write_text("- {name: ops, key: root, admin: true}\n- {name: search, key: search}\n")
    arguments = ["--model", str(root / "v1"), "--admin-port", "0", "--bundles-root", str(root)]
    with started(*arguments, "--api-keys-file", str(keys), "--access-log", "off") as process:
        yield Served(process, str(process.ready["admin"]), root)


@contextmanager
def _load(served: Served) -> Iterator[list[float]]:
    """Send requests from four threads during the block. Yield the list of their scores, which is filled meanwhile."""
    stop = threading.Event()
    scores: list[float] = []

    def send() -> None:
        while not stop.is_set():
            scores.append(served.score())

    with ThreadPoolExecutor(4) as threads:
        sending = [threads.submit(send) for _ in range(4)]
        try:
            yield scores
        finally:
            stop.set()
        for each in sending:
            each.result()  # raises the error of a request


@contextmanager
def _fails(code: grpc.StatusCode, words: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    details = caught.value.details() or ""
    assert (caught.value.code(), words in details) == (code, True), details


def test_a_new_version_serves_without_losing_a_request(served: Served) -> None:
    """Under load: each request has the score of the old version or of the new one. Then back again."""
    with served.admin() as admin, _load(served) as scores:
        loaded = admin.load("small", "v2")
        after = served.score()
        assert (loaded.state, loaded.folder, loaded.precision) == (READY, str(served.root / "v2"), "fp32")
        admin.load("small", served.root / "v1")
    assert set(scores) <= {OLD, NEW}
    assert (after, served.score()) == (NEW, OLD)


def test_a_failed_load_changes_nothing(served: Served) -> None:
    """The call and the list have the reason. A later load of the version that serves removes it."""
    with served.admin() as admin:
        with _fails(grpc.StatusCode.FAILED_PRECONDITION, "was altered: its sha256 differs from manifest.json"):
            admin.load("small", "altered")
        assert served.score() == OLD
        (small,) = [bundle for bundle in admin.bundles() if bundle.name == "small"]
        assert (small.state, small.folder) == (READY, str(served.root / "v1"))
        assert "was altered" in small.reason
        assert admin.load("small").reason == ""


def test_a_new_model_is_loaded_unloaded_and_removed(served: Served) -> None:
    """By a new name. A bundle of a model is not listed as available. The model of the start cannot be removed."""

    def listed() -> dict[str, pb.BundleState.ValueType]:
        return {bundle.name: bundle.state for bundle in admin.bundles()}

    with served.admin() as admin:
        assert listed() == {"small": READY, "altered": pb.BUNDLE_STATE_AVAILABLE, "v2": pb.BUNDLE_STATE_AVAILABLE}
        assert served.post("second").status_code == 404
        admin.load("second", "v2")
        assert (served.score("second"), served.score()) == (NEW, OLD)
        assert listed() == {"small": READY, "second": READY, "altered": pb.BUNDLE_STATE_AVAILABLE}
        assert admin.unload("second").state == UNLOADED
        assert admin.unload("second").state == UNLOADED
        assert (served.post("second").status_code, served.score()) == (503, OLD)
        assert admin.load("second").state == READY
        assert served.score("second") == NEW
        admin.remove("second")
        assert (served.post("second").status_code, served.score()) == (404, OLD)
        assert listed() == {"small": READY, "altered": pb.BUNDLE_STATE_AVAILABLE, "v2": pb.BUNDLE_STATE_AVAILABLE}
        with _fails(grpc.StatusCode.FAILED_PRECONDITION, "(--model): remove it there"):
            admin.remove("small")
        with _fails(grpc.StatusCode.NOT_FOUND, "small"):
            admin.remove("second")


def test_wrong_calls_have_the_documented_status(served: Served) -> None:
    """Names, folders and keys."""
    with served.admin() as admin:
        with _fails(grpc.StatusCode.NOT_FOUND, "small"):
            admin.load("missing")
        with _fails(grpc.StatusCode.NOT_FOUND, "small"):
            admin.unload("missing")
        for folder in ("/etc", "..", str(served.root)):
            with _fails(grpc.StatusCode.PERMISSION_DENIED, "--bundles-root"):
                admin.load("new", folder)
        with _fails(grpc.StatusCode.FAILED_PRECONDITION, "is not a folder"):
            admin.load("new", "missing")
        assert "new" not in [bundle.name for bundle in admin.bundles()]
    with served.admin(key="search") as admin, _fails(grpc.StatusCode.PERMISSION_DENIED, "admin: true"):
        admin.load("small", "v2")
    with served.admin(key="wrong") as admin, _fails(grpc.StatusCode.UNAUTHENTICATED, "invalid API key"):
        admin.bundles()


def test_readiness_is_switched_off_and_on(served: Served) -> None:
    """Requests are accepted meanwhile. Admin itself stays ready."""

    def health(address: str) -> str:
        with grpc.insecure_channel(address) as channel:
            response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def readiness() -> tuple[int, str, str]:
        status = get(f"{served.process.rest}/health/ready").status_code
        return status, health(served.process.grpc), health(served.address)

    def metric() -> str:
        text = get(f"{served.process.rest}/metrics", headers={"authorization": "Bearer search"}).text
        return next(line for line in text.splitlines() if line.startswith("rerank_ready "))

    with served.admin() as admin:
        for _ in range(2):
            admin.set_readiness(ready=False)
            assert readiness() == (503, "NOT_SERVING", "SERVING")
            assert metric() == "rerank_ready 0.0"
            assert served.score() == OLD
        admin.set_readiness(ready=True)
        assert readiness() == (200, "SERVING", "SERVING")
        assert metric() == "rerank_ready 1.0"


def test_command_changes_the_server(served: Served) -> None:
    """With the key of the variable, and an error as one line."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = command("admin", *words, "--server", served.address)
        return subprocess.run(
            line, capture_output=True, text=True, env=environment(RERANK_API_KEY="root"), timeout=60, check=False
        )

    done = run("load", "small", "v1", "--json")
    assert (done.returncode, '"state": "ready"' in done.stdout) == (0, True), done.stderr
    done = run("load", "small", "altered")
    assert done.returncode == 1
    assert done.stderr.startswith("rerank: FAILED_PRECONDITION: ")
    assert len(done.stderr.splitlines()) == 1


def test_changes_are_logged_and_the_server_ends(served: Served) -> None:
    """With the name of the key, also without an access log. Last, because it ends the server."""
    with served.admin() as admin:
        admin.load("small", "v2")
    served.process.popen.send_signal(signal.SIGTERM)
    assert served.process.ended() == 0
    lines = [line for line in served.process.log() if line["event"] == "admin request"]
    last = {name: lines[-1][name] for name in ("action", "model", "folder", "key", "client")}
    assert last == {
        "action": "load",
        "model": "small",
        "folder": str(served.root / "v2"),
        "key": "ops",
        "client": "127.0.0.1",
    }


def test_server_does_not_start_with_an_open_port() -> None:
    """One line and status 2."""
    line = command("serve", "--grpc-port", "0", "--rest-port", "0", "--admin-port", "0", "--admin-host", "0.0.0.0")
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("rerank: --admin-host or RERANK_ADMIN_HOST is 0.0.0.0, and no API keys are set: ")
    assert len(done.stderr.splitlines()) == 1
