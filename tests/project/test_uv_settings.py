"""The Makefile installs by uv, with the package index that pip is configured for."""

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAME = "in-no-public-index"
_WHEEL = "in_no_public_index-1-py3-none-any.whl"
_METADATA = {
    "METADATA": f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: 1\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "",
}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return a folder with one wheel, which is also a page of a package index."""
    folder = tmp_path / "simple" / _NAME
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / _WHEEL, "w") as wheel:
        for name, text in _METADATA.items():
            wheel.writestr(f"in_no_public_index-1.dist-info/{name}", text)
    return folder


@pytest.fixture
def index(wheels: Path) -> Iterator[str]:
    """Serve the folder, and return the address of the index."""
    handler = partial(SimpleHTTPRequestHandler, directory=wheels.parents[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        serving.join()


def _install(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Install the package as a recipe does. Settings of this machine's pip and uv do not count."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "MAKE", "MFLAGS"))
    }
    recipe = f"probe: ; @$(UV) pip install --target '{tmp_path}/target' --cache-dir '{tmp_path}/cache' {_NAME}"
    return subprocess.run(
        ["make", "--eval", recipe, "probe", f"VENV={sys.prefix}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=inherited | {"PIP_CONFIG_FILE": os.devnull} | variables,
        timeout=60,
    )


def test_index_of_a_pip_file(tmp_path: Path, index: str) -> None:
    """A company that has its own index names it there."""
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nindex-url = {index}\n")
    done = _install(tmp_path, PIP_CONFIG_FILE=str(file))
    assert done.returncode == 0, done.stderr
    assert f"+ {_NAME}==1" in done.stderr


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_variable_comes_before_the_file(tmp_path: Path, index: str, name: str) -> None:
    """In the file is an index that does not answer."""
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = http://127.0.0.1:1/simple/\n")
    done = _install(tmp_path, PIP_CONFIG_FILE=str(file), **{name: index})
    assert done.returncode == 0, done.stderr


def test_folders_with_wheels(tmp_path: Path, wheels: Path) -> None:
    """`find-links` of pip, with two folders."""
    done = _install(
        tmp_path, PIP_FIND_LINKS=f"{tmp_path} {wheels}", PIP_INDEX_URL="http://127.0.0.1:1/simple/", UV_OFFLINE="1"
    )
    assert done.returncode == 0, done.stderr
