"""Checks of Python and its packages."""

import importlib.metadata
import platform
import re
from collections.abc import Iterable, Iterator

from rerank_service.installation import RUNTIME_EXTRAS, Version, install_command, server_install_command
from rerank_service.quantities import counted
from rerank_service.tools.doctor.finding import Finding, ok, wrong

_OTHERS = ("onnx", "onnxruntime-ep-openvino")
"""Packages of the extras cpu, openvino and gpu."""
_OWN = "rerank-service"
_REQUIRED = re.compile(r"""([\w.-]+)[^;]*(?:;\s*extra\s*==\s*['"]server['"])?""")
"""A requirement of the base install or of the extra server, without a marker of the platform."""


def own_requirements() -> tuple[str, ...]:
    """Return the requirements of this package; none if it is not installed, such as in a source folder."""
    try:
        return tuple(importlib.metadata.requires(_OWN) or ())
    except importlib.metadata.PackageNotFoundError:
        return ()


def package_findings(version: Version, requirements: Iterable[str]) -> Iterator[Finding]:
    """Yield the versions of Python, of the packages that a server needs, and of ONNX Runtime."""
    yield ok("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _server_packages(version, requirements)
    yield _runtime(version)


def required_packages(requirements: Iterable[str]) -> list[str]:
    """Return the names of the packages that every server needs."""
    matches = (_REQUIRED.fullmatch(requirement.strip()) for requirement in requirements)
    return sorted({match[1] for match in matches if match})


def _server_packages(version: Version, requirements: Iterable[str]) -> Iterator[Finding]:
    versions = {name: version(name) for name in (_OWN, *required_packages(requirements))}
    missing = [name for name, installed in versions.items() if installed is None]
    if missing:
        yield wrong("packages", f"not installed: {', '.join(missing)}", server_install_command(version))
    versions |= {name: version(name) for name in _OTHERS}
    own = f"{_OWN} {versions.pop(_OWN)}"
    found = [f"{name} {installed}" for name, installed in versions.items() if installed]
    yield ok("packages", f"{own} with {counted(len(found), 'package')}", details=", ".join(found))


def _runtime(version: Version) -> Finding:
    found = {name: installed for name in RUNTIME_EXTRAS if (installed := version(name))}
    shown = ", ".join(f"{name} {installed}" for name, installed in found.items())
    if not found:
        return wrong("ONNX Runtime", "no package with ONNX Runtime is installed", server_install_command(version))
    if len(found) > 1:
        return wrong(
            "ONNX Runtime",
            f"{shown} are installed, and each has replaced files of the others",
            f"make a new environment, and install one of the extras cpu, openvino and gpu: {install_command('cpu')}",
        )
    return ok("ONNX Runtime", shown)
