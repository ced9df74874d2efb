"""The container image: built with buildah, run with podman. `make image-test` runs these tests, as root."""

import json
import queue
import time
from datetime import datetime
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.client import RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service import __version__
from support.container import Container
from support.container_image import Image, make, output

pytestmark = pytest.mark.timeout(3600)  # of the build, of which the first test waits for the end

MAX_SERVER_BYTES = 560_000_000
"""Limit for the layer of the server: 505 MB, and room for newer packages. docs/image.md has the sizes."""
DOCUMENTS = ("Rome is in Italy.", "Paris is the capital of France.")
SERVING = health_pb2.HealthCheckResponse.SERVING


def test_labels_name_the_commit(image: Image) -> None:
    """Version, commit and its time, in the names of the OCI."""
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in image.labels.items()}
    commit, seconds = output("git", "log", "-1", "--format=%H %ct").split()
    assert labels["version"] == __version__
    assert labels["revision"].removesuffix("-dirty") == commit
    assert datetime.fromisoformat(labels["created"]).timestamp() == int(seconds)


def test_server_adds_one_layer_of_limited_size(image: Image, base: str) -> None:
    """All else is of the base."""
    inspected = json.loads(output("buildah", "inspect", "--type=image", base))
    assert image.layers[:-1] == tuple(inspected["OCIv1"]["rootfs"]["diff_ids"])
    *_, size = image.layer_bytes
    print(f"layer of the server: {size / 1e6:.0f} MB; base: {sum(image.layer_bytes[:-1]) / 1e6:.0f} MB")
    assert size <= MAX_SERVER_BYTES


def test_second_build_has_the_same_layers(image: Image, again: Image) -> None:
    """No cache is used. The layers do not depend on the time of the build."""
    assert again.layers == image.layers


def test_container_is_healthy(server: Container) -> None:
    """By HEALTHCHECK with changed ports, by gRPC and by REST."""
    assert server.healthy()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        checked = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="rerank.v1.Rerank"))
    assert checked.status == SERVING
    assert httpx.get(f"http://127.0.0.1:{server.rest_port}/health/ready", timeout=60).status_code == 200


def test_container_ranks(server: Container) -> None:
    """With the bundled model, by both protocols."""
    with RerankClient(f"127.0.0.1:{server.grpc_port}") as client:
        assert [each.index for each in client.rerank("capital of france", DOCUMENTS).results] == [1, 0]
    body = {"query": "capital of france", "documents": DOCUMENTS}
    ranked = httpx.post(f"http://127.0.0.1:{server.rest_port}/v2/rerank", json=body, timeout=60)
    assert [each["index"] for each in ranked.json()["results"]] == [1, 0]


def test_server_has_no_rights(server: Container) -> None:
    """Its user is not root, has no capabilities, and can write no file."""
    status = dict(line.split(":\t", 1) for line in server.python("print(open('/proc/1/status').read())").splitlines())
    assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
    assert int(status["CapEff"], 16) == 0
    write = "try: open('/opt/rerank/x', 'w')\nexcept OSError as error: print(error.strerror)"
    assert server.python(write) == "Read-only file system"
    mounts = server.python("print(open('/proc/1/mounts').read())").splitlines()
    assert next(mount.split()[3] for mount in mounts if mount.split()[1] == "/").split(",")[0] == "ro"


def test_byte_code_is_complete_and_refers_to_hashes(server: Container) -> None:
    """Byte code with times would be stale after the times are changed, and compiled at each start."""
    code = """
import pathlib, rerank_service
files = list(pathlib.Path(rerank_service.__file__).parent.rglob('*.py'))
import importlib.util as util
print(len(files), sum(open(util.cache_from_source(str(file)), 'rb').read(8)[4] == 3 for file in files))
"""
    files, with_hash = map(int, server.python(code).split())
    assert files == with_hash > 100


def test_sbom_lists_the_installed_packages(image: Image, server: Container, sbom_file: Path) -> None:
    """`make sbom` reads it from the image. It is complete, and has the version of the project."""
    make("sbom", "BUILDER=buildah", f"IMAGE={image.name}", f"OUT={sbom_file}")
    sbom = json.loads(sbom_file.read_text())
    root = sbom["metadata"]["component"]
    listed = {(each["name"], each["version"]) for each in (root, *sbom["components"])}
    code = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
    assert listed == set(map(tuple, json.loads(server.python(code))))
    assert (root["name"], root["version"]) == ("rerank-service", __version__)


def test_sigterm_drains(own_server: Container) -> None:
    """The container is unhealthy at once, answers its open stream, and exits with 0."""
    parts: queue.SimpleQueue[pb.RerankStreamRequest | None] = queue.SimpleQueue()
    header = pb.RerankHeader(request=pb.RerankRequest(query="capital of france"), partial_scores=True)
    parts.put(pb.RerankStreamRequest(header=header))
    parts.put(_chunk(DOCUMENTS[0]))
    with grpc.insecure_channel(f"127.0.0.1:{own_server.grpc_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="rerank.v1.Rerank"))
        assert next(watch).status == SERVING
        stream = pb_grpc.RerankStub(channel).RerankStream(iter(parts.get, None))
        assert [score.index for score in next(stream).scores.scores] == [0]
        own_server.terminate()
        assert next(watch).status != SERVING
        assert not own_server.healthy()
        parts.put(_chunk(DOCUMENTS[1]))
        parts.put(None)
        responses = list(stream)
        watch.cancel()
    began = time.monotonic()
    assert [result.index for result in responses[-1].ranking.results] == [1, 0]
    assert own_server.ended() == 0
    print(f"ended {time.monotonic() - began:.1f} s after the last answer")
    assert own_server.log()[-1]["event"] == "stopped"


def _chunk(text: str) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(text=text)]))
