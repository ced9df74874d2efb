"""Dockerfile, checked without Docker: consistent with the project, the settings and the Kubernetes manifests."""

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.http.app import build_app
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.api.http.server import listening
from rerank_service.models.registry import Registry
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.settings import Settings
from support.limits import request_limits, rest_options

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
PORTS = [Settings.model_fields[name].default for name in ("grpc_port", "rest_port")]


class Instruction(NamedTuple):
    """An instruction of the Dockerfile, with its continuation lines."""

    name: str
    text: str


def _instructions() -> list[Instruction]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


INSTRUCTIONS = _instructions()
ARGUMENTS = dict(text.partition("=")[::2] for name, text in INSTRUCTIONS if name == "ARG")
_FROM = [position for position, instruction in enumerate(INSTRUCTIONS) if instruction.name == "FROM"]
BUILD = INSTRUCTIONS[_FROM[0] : _FROM[1]]
EXPORT = INSTRUCTIONS[_FROM[1] : _FROM[2]]
LAST = INSTRUCTIONS[_FROM[2] :]


def _texts(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.text for instruction in stage if instruction.name == name]


def _pairs(name: str) -> dict[str, str]:
    """Return the keys and values of an instruction in the last stage."""
    return dict(pair.split("=", 1) for text in _texts(LAST, name) for pair in shlex.split(text))


def _words(name: str, stage: list[Instruction] = LAST) -> list[str]:
    """Return the command of an instruction, which has the exec form (a JSON array)."""
    (text,) = _texts(stage, name)
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def _copied() -> set[str]:
    """Return the paths that the build copies from the repository."""
    return {source for text in _texts(BUILD, "COPY") for source in text.split()[:-1]}


def _is_ignored(path: PurePosixPath) -> bool:
    """Return whether .dockerignore excludes a path. The last pattern that matches it or one of its folders decides."""
    ignored = False
    for pattern in IGNORED:
        if any(_matches(part, pattern.removeprefix("!")) for part in (path, *path.parents[:-1])):
            ignored = not pattern.startswith("!")
    return ignored


def _matches(path: PurePosixPath, pattern: str) -> bool:
    return path.match(pattern[3:]) if pattern.startswith("**/") else ("/" / path).match(f"/{pattern}")


def test_every_stage_is_built_on_the_base_argument() -> None:
    """One build argument sets the base of all stages, so that the environment has the same Python in the last stage."""
    assert [text.split()[0] for text in _texts(INSTRUCTIONS, "FROM")] == ["${BASE}"] * 3
    first = takewhile(lambda instruction: instruction.name != "FROM", INSTRUCTIONS)
    assert [text.partition("=")[0] for text in _texts(list(first), "ARG")] == ["BASE"]


def test_base_image_has_a_supported_python() -> None:
    """The default base is new enough, and equals that of the Makefile."""
    image, _, tag = ARGUMENTS["BASE"].partition(":")
    assert image == "python"
    assert SpecifierSet(PROJECT["requires-python"]).contains(tag.partition("-")[0])
    assert f"\nBASE ?= {ARGUMENTS['BASE']}\n" in (ROOT / "Makefile").read_text()


def test_default_extra_exists_in_the_project() -> None:
    """The default image serves on the CPU."""
    assert ARGUMENTS["EXTRA"] == "cpu"
    assert "cpu" in PROJECT["optional-dependencies"]


def test_copied_paths_exist_and_are_not_ignored() -> None:
    """No file below a copied path is ignored."""
    for source in _copied():
        assert (ROOT / source).exists()
        inside = [path.relative_to(ROOT) for path in (ROOT / source).rglob("*") if "__pycache__" not in path.parts]
        assert not [path for path in (Path(source), *inside) if _is_ignored(PurePosixPath(path))]


def test_paths_that_are_not_copied_are_ignored() -> None:
    """Caches inside copied folders are ignored too."""
    sent = {path.name for path in ROOT.iterdir() if not _is_ignored(PurePosixPath(path.name))}
    assert sent == _copied()
    assert _is_ignored(PurePosixPath("service/rerank_service/__pycache__/errors.cpython-312.pyc"))


def test_all_sources_of_the_wheel_are_copied() -> None:
    """The constraints of its installation are copied too."""
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    constraints = re.findall(r"-c (\S+)", " ".join(_texts(BUILD, "RUN")))
    needed = ["pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *wheel, *constraints]
    assert constraints
    assert {PurePosixPath(path).parts[0] for path in needed} == _copied()
    assert all((ROOT / path).exists() for path in needed)


def test_last_stage_copies_only_the_environment() -> None:
    """It has no sources, no wheel and no cache."""
    assert _texts(BUILD, "FROM") == ["${BASE} AS build"]
    assert _texts(LAST, "COPY") == ["--from=build /opt/rerank /opt/rerank"]
    assert not {"ADD", "RUN", "VOLUME"} & {instruction.name for instruction in LAST}


def test_only_the_export_stage_has_torch() -> None:
    """It installs the extra `export` under its constraints. The last stage copies nothing from it."""
    (install,) = _texts(EXPORT, "RUN")
    assert install.count("[export]") == 1
    assert {"--from=build /src/export/constraints.txt /tmp/constraints.txt", "--from=build /wheel /wheel"} == set(
        _texts(EXPORT, "COPY")
    )
    assert "-c /tmp/constraints.txt" in install
    assert (ROOT / "export" / "constraints.txt").exists()
    assert "export" in PROJECT["optional-dependencies"]
    assert not [text for _, text in [*BUILD, *LAST] if "[export]" in text or "--from=export" in text]


def test_export_stage_runs_the_exporter() -> None:
    """It runs without root rights in the mounted folder; without arguments it prints its help."""
    (folder,), (user,) = _texts(EXPORT, "WORKDIR"), _texts(EXPORT, "USER")
    assert f"mkdir -m 1777 {folder}" in _texts(EXPORT, "RUN")[0]
    assert _texts(LAST, "USER") == [user]
    script, *arguments = _words("ENTRYPOINT", EXPORT) + _words("CMD", EXPORT)
    assert script in PROJECT["scripts"]
    shown_help = subprocess.run([sys.executable, "-m", "rerank_service", *arguments], capture_output=True, text=True)
    assert shown_help.returncode == 0
    assert "--trust-remote-code" in shown_help.stdout


def test_image_runs_as_a_user_without_root_rights() -> None:
    """The user is a number, so that Kubernetes can verify that it is not root. It equals that of the manifests."""
    (user,) = _texts(LAST, "USER")
    deployment = yaml.safe_load((ROOT / "deploy" / "base" / "deployment.yaml").read_text())
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert 0 not in map(int, user.split(":"))


def test_image_exposes_the_default_ports() -> None:
    """The ports are the defaults of the settings."""
    assert [int(port) for text in _texts(LAST, "EXPOSE") for port in text.split()] == PORTS


def test_image_starts_the_server() -> None:
    """Entry point and command form a valid command line."""
    script, *arguments = _words("ENTRYPOINT") + _words("CMD")
    assert script in PROJECT["scripts"]
    assert arguments == ["serve"]
    shown_help = subprocess.run([sys.executable, "-m", "rerank_service", *arguments, "--help"], capture_output=True)
    assert shown_help.returncode == 0


def test_environment_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every RERANK_ variable is a setting. The server listens on all interfaces, by IPv6 and IPv4."""
    variables = {name: value for name, value in _pairs("ENV").items() if name.startswith("RERANK_")}
    assert set(variables) <= {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().host == ("::",)


def test_telemetry_is_off() -> None:
    """onnxruntime sends no telemetry. The programs of the environment come first in PATH."""
    assert _pairs("ENV")["ORT_DISABLE_TELEMETRY"] == "1"
    assert _pairs("ENV")["PATH"].startswith("/opt/rerank/bin:")


def test_labels_equal_the_project_metadata() -> None:
    """Title, description and licence come from pyproject.toml."""
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in _pairs("LABEL").items()}
    assert labels == {
        "title": PROJECT["name"],
        "description": PROJECT["description"],
        "licenses": PROJECT["license"],
    }


def _routes(*, ready: bool) -> RerankRoutes:
    registry = Registry()
    reranker = Reranker(registry, Admissions(LiveLimits(1, 1), time.monotonic), request_limits())
    routes = RerankRoutes(reranker, registry, Keys(), rest_options())
    routes.ready = ready
    return routes


async def _health_check(grpc_port: int, rest_port: int) -> int:
    """Run the command for other ports, and return its exit status."""
    python, *arguments = _words("HEALTHCHECK")
    assert python == "python3"
    variables = {"RERANK_GRPC_PORT": str(grpc_port), "RERANK_REST_PORT": str(rest_port)}
    check = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stderr=asyncio.subprocess.DEVNULL, env=os.environ | variables
    )
    return await check.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
@pytest.mark.parametrize(("ready", "status"), [(True, 0), (False, 1)])
async def test_health_check_follows_readiness(
    ready: bool, status: int, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command asks the REST port for readiness, and ignores proxy variables."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    options = rest_options(addresses=listen_addresses([host]))
    async with listening(build_app(_routes(ready=ready)), options) as rest:
        assert await _health_check(rest.port, rest.port) == status


async def test_health_check_covers_both_ports() -> None:
    """Without the gRPC port, the container is unhealthy."""
    async with listening(build_app(_routes(ready=True)), rest_options()) as rest:
        with socket.create_server(("127.0.0.1", 0)) as grpc:
            port = grpc.getsockname()[1]
            assert await _health_check(port, rest.port) == 0
        assert await _health_check(port, rest.port) == 1
