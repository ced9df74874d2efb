"""Commands in hints, such as `rerank serve` and `pip install …`, in a form that works with this installation.

The package is on no index, so an extra is installed from the same source as the package. The installer records the
source in `direct_url.json` (PEP 610).
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PACKAGE = "rerank-service"
_COMMAND = "rerank"
RUNTIME_EXTRAS = {"onnxruntime": "cpu", "onnxruntime-gpu": "gpu", "onnxruntime-openvino": "openvino"}
"""Packages that contain the module `onnxruntime`, each with the extra that installs it. Each one replaces files of the
others."""

Version = Callable[[str], str | None]
"""Returns the version of a package; None if it is not installed."""


def installed_version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def command_name() -> str:
    """Return the command that starts `rerank` in this shell: the name if PATH finds it, else the path of the script."""
    started = Path(sys.argv[0])
    script = started if started.name == _COMMAND else Path(sys.executable).with_name(_COMMAND)
    if not script.is_file():
        return f"{shlex.quote(_relative_path(Path(sys.executable)))} -m rerank_service"
    return _by_name_or_path(script, _relative_path)


def export_command() -> str:
    """Return the command that makes a bundle. In a checkout, `make export` installs the exporter by itself."""
    if Path("Makefile").is_file() and find_spec("torch") is None and _origin().get("dir_info", {}).get("editable"):
        return "make export MODEL=MODEL OUT=out/my-model"
    return f"{command_name()} export MODEL --out out/my-model"


def serve_command() -> str:
    """Return the command that serves a bundle which this environment made.

    `make export` runs in an environment of its own, which is no place for a server. In a checkout, `make run` made the
    command of the other environment, or makes it.
    """
    if not Path("Makefile").is_file() or not _origin().get("dir_info", {}).get("editable"):
        return f"{command_name()} serve --model"
    others = (Path(place) for place in (".venv/bin/rerank", ".venv-openvino/bin/rerank", ".venv-gpu/bin/rerank"))
    other = next((script for script in others if script.is_file()), None)
    if find_spec("torch") is None or other is None:
        return f"{command_name()} serve --model"
    return f"{_by_name_or_path(other, str)} serve --model"


def install_command(extra: str, *, anywhere: bool = False) -> str:
    """Return the command that adds an extra, such as `cpu`, to this installation.

    `anywhere`: with absolute paths, for readers whose terminal may be in another folder, such as those of a notebook.
    """
    shown = str if anywhere else _relative_path
    editable, source = _source(extra, shown)
    return f"{_pip_install(shown)} {'-e ' if editable else ''}{shlex.quote(source)}"


def server_install_command(version_of: Version = installed_version) -> str:
    """Return the command that installs all packages of a server, with the ONNX Runtime that is installed already."""
    found = (extra for runtime, extra in RUNTIME_EXTRAS.items() if version_of(runtime) is not None)
    return install_command(next(found, "cpu"))


def _source(extra: str, shown: Callable[[Path], str]) -> tuple[bool, str]:
    """Return whether this installation is editable, and its source with the extra, as an argument of pip."""
    origin = _origin()
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            return bool(origin.get("dir_info", {}).get("editable")), f"{shown(path)}[{extra}]"
    elif "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return False, f"{_PACKAGE}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    elif url:
        return False, f"{_PACKAGE}[{extra}] @ {url}"
    return False, f"CHECKOUT_OR_WHEEL[{extra}]"


def _origin() -> dict[str, Any]:
    """Return the record of the package's source. It is empty if the installer kept none."""
    try:
        record = distribution(_PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        record = None
    return json.loads(record) if record else {}


def _pip_install(shown: Callable[[Path], str]) -> str:
    python = Path(sys.executable)
    script = python.with_name("pip")
    if script.is_file():
        return f"{_by_name_or_path(script, shown)} install"
    if find_spec("pip") is None:
        return f"uv pip install --python {shlex.quote(shown(python))}"
    return f"{shlex.quote(shown(python))} -m pip install"


def _by_name_or_path(script: Path, shown: Callable[[Path], str]) -> str:
    on_path = shutil.which(script.name)
    return script.name if on_path and Path(on_path).samefile(script) else shlex.quote(shown(script))


def _relative_path(path: Path) -> str:
    """Return a path relative to the current folder if it is below that folder, else the absolute path."""
    absolute, current = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - resolve() would leave the environment
    if not absolute.is_relative_to(current):
        return str(absolute)
    below = absolute.relative_to(current)
    return str(below) if len(below.parts) > 1 or not below.parts else f"./{below}"
