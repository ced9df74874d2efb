"""Commands that work with this installation, for hints.

The package is on no index: an extra comes from where the package itself came from. The installer keeps that in
`direct_url.json` (PEP 610).
"""

import json
import os
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PACKAGE = "rerank-service"
_COMMAND = "rerank"


def command_name() -> str:
    """Return `rerank` as a person can type it here: the name where PATH leads to it, else the path of the script."""
    started = Path(sys.argv[0])
    script = started if started.name == _COMMAND else Path(sys.executable).with_name(_COMMAND)
    if not script.is_file():
        return f"{_typed(Path(sys.executable))} -m rerank_service"
    return _by_name_or_path(script)


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation."""
    editable, source = _source(extra)
    return f"{_pip_install()} {'-e ' if editable else ''}{shlex.quote(source)}"


def _source(extra: str) -> tuple[bool, str]:
    """Return whether this is an editable installation, and what an installer takes to install it again."""
    origin = _origin()
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        if path.exists():
            return bool(origin.get("dir_info", {}).get("editable")), f"{_from_here(path)}[{extra}]"
    elif "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return False, f"{_PACKAGE}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    elif url:
        return False, f"{_PACKAGE}[{extra}] @ {url}"
    return False, f"CHECKOUT_OR_WHEEL[{extra}]"


def _origin() -> dict[str, Any]:
    """The record of where the package came from; empty where there is none."""
    try:
        record = distribution(_PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        record = None
    return json.loads(record) if record else {}


def _pip_install() -> str:
    python = Path(sys.executable)
    script = python.with_name("pip")
    if script.is_file():
        return f"{_by_name_or_path(script)} install"
    if find_spec("pip") is None:
        return f"uv pip install --python {_typed(python)}"
    return f"{_typed(python)} -m pip install"


def _by_name_or_path(script: Path) -> str:
    found = shutil.which(script.name)
    return script.name if found and Path(found).samefile(script) else _typed(script)


def _typed(path: Path) -> str:
    return shlex.quote(_from_here(path))


def _from_here(path: Path) -> str:
    """Return a path that starts at the current folder where it lies in there."""
    absolute, here = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100 - resolve() would leave the environment
    if not absolute.is_relative_to(here):
        return str(absolute)
    below = absolute.relative_to(here)
    return str(below) if len(below.parts) > 1 or not below.parts else f"./{below}"
