"""Init containers that fetch a bundle: their own command lines, with the real rclone, a web server and an S3 server."""

import functools
import gzip
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from support.manifests import DEPLOY, Manifest, read_manifest

pytestmark = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")

_FETCHED = Path("/models/fetched")
"""The folder in the manifests. The tests put another one in its place."""
_KEYS = {"access_key_id": "someone", "secret_access_key": "secret"}


def _fetch(component: str, folder: Path, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the init container of a component with a config map. `folder` stands for /models."""
    pod = read_manifest(DEPLOY / "components" / component / "deployment.yaml")["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    environment = _environment(container, values)
    words = [_expanded(word, environment) for word in (*container["command"], *container["args"])]
    return subprocess.run(
        [word.replace(str(_FETCHED.parent), str(folder)) for word in words],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], **environment},
    )


def _environment(container: Manifest, values: dict[str, str]) -> dict[str, str]:
    found = {}
    for variable in container["env"]:
        match variable:
            case {"value": value}:
                found[variable["name"]] = value
            case {"valueFrom": {"configMapKeyRef": {"key": key}}}:
                found[variable["name"]] = values[key]
            case {"valueFrom": {"secretKeyRef": {"key": key}}}:
                found[variable["name"]] = _KEYS[key]
    return found


def _expanded(word: str, environment: dict[str, str]) -> str:
    """Replace `$(NAME)`, as the kubelet does."""
    return re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], word)


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the method that this replaces
        """Log nothing."""


@pytest.fixture(scope="module")
def web_folder(tmp_path_factory: pytest.TempPathFactory, small_model: Bundle) -> Path:
    """Return the folder of the web server, with an archive of the bundle, a part of it, and a web page."""
    folder = tmp_path_factory.mktemp("web")
    with tarfile.open(folder / "small.tar", "w") as archive:
        archive.add(small_model.folder, ".")
    (folder / "small.tar.gz").write_bytes(gzip.compress((folder / "small.tar").read_bytes()))
    whole = (folder / "small.tar").read_bytes()
    (folder / "half.tar").write_bytes(whole[: len(whole) // 4])
    (folder / "page.tar").write_text("<html>Sign in</html>")
    return folder


@pytest.fixture(scope="module")
def web(web_folder: Path) -> Iterator[str]:
    """Yield the address of a web server."""
    handler = functools.partial(_Quiet, directory=str(web_folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def storage(small_model: Bundle) -> Iterator[dict[str, str]]:
    """Yield the config map for an S3 server, whose bucket `models` has the bundle `small`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {"S3_PROVIDER": "Minio", "S3_ENDPOINT": f"http://{host}:{port}", "S3_REGION": "us-east-1"}
    pod = read_manifest(DEPLOY / "components" / "bundle-from-s3" / "deployment.yaml")["spec"]["template"]["spec"]
    environment = _environment(pod["initContainers"][0], values | {"BUNDLE_PATH": ""})
    for words in (["mkdir", "storage:models"], ["copy", str(small_model.folder), "storage:models/small"]):
        subprocess.run(["rclone", *words], env={"PATH": os.environ["PATH"], **environment}, check=True, timeout=60)
    yield values
    server.stop()


@pytest.mark.parametrize("name", ["small.tar", "small.tar.gz"])
def test_archive_at_a_url_is_a_bundle(web: str, tmp_path: Path, small_model: Bundle, name: str) -> None:
    """The server opens it. A second run, such as that after a restart of the node, leaves nothing of the first."""
    for _ in range(2):
        done = _fetch("bundle-from-url", tmp_path, {"BUNDLE_URL": f"{web}/{name}"})
        assert done.returncode == 0, done.stderr
        assert open_bundle(tmp_path / "fetched").digest == small_model.digest
        assert [path.name for path in tmp_path.iterdir()] == ["fetched"]
        (tmp_path / "fetched" / "left-over").touch()


@pytest.mark.parametrize("name", ["absent.tar", "page.tar", "half.tar"])
def test_no_archive_at_the_url_fails(web: str, tmp_path: Path, name: str) -> None:
    """Then Kubernetes runs the init container again, and the server does not start."""
    done = _fetch("bundle-from-url", tmp_path, {"BUNDLE_URL": f"{web}/{name}"})
    assert done.returncode != 0
    assert done.stderr


def test_folder_in_s3_is_a_bundle(storage: dict[str, str], tmp_path: Path, small_model: Bundle) -> None:
    """The server opens it. A second run removes what an interrupted one left."""
    for _ in range(2):
        done = _fetch("bundle-from-s3", tmp_path, storage | {"BUNDLE_PATH": "models/small"})
        assert done.returncode == 0, done.stderr
        assert open_bundle(tmp_path / "fetched").digest == small_model.digest
        (tmp_path / "fetched" / "model.onnx.partial").touch()


def test_folder_of_bundles_in_s3_is_fetched_as_a_whole(
    storage: dict[str, str], tmp_path: Path, small_model: Bundle
) -> None:
    """For many models: one folder for each."""
    assert _fetch("bundle-from-s3", tmp_path, storage | {"BUNDLE_PATH": "models"}).returncode == 0
    assert open_bundle(tmp_path / "fetched" / "small").digest == small_model.digest


def test_absent_bucket_fails(storage: dict[str, str], tmp_path: Path) -> None:
    """The line names it."""
    done = _fetch("bundle-from-s3", tmp_path, storage | {"BUNDLE_PATH": "absent/small"})
    assert done.returncode != 0
    assert "bucket absent" in done.stderr


def test_absent_folder_in_s3_is_no_bundle(storage: dict[str, str], tmp_path: Path) -> None:
    """S3 has no folders, so rclone finds nothing to copy. The server then names the folder."""
    assert _fetch("bundle-from-s3", tmp_path, storage | {"BUNDLE_PATH": "models/absent"}).returncode == 0
    with pytest.raises(BundleInvalid, match="fetched"):
        open_bundle(tmp_path / "fetched")
