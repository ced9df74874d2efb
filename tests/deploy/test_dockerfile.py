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
from rerank_service.cli import health_check
from rerank_service.models.registry import Registry
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.settings import Settings
from support.limits import request_limits, rest_options
from support.pip_configuration import CA_SECRET

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
GLOBALS = list(takewhile(lambda instruction: instruction.name != "FROM", INSTRUCTIONS))
"""Arguments for the bases of stages and their defaults."""


def _stages() -> dict[str, list[Instruction]]:
    """Return the instructions of each stage by its name, "" for the last one."""
    stages: dict[str, list[Instruction]] = {}
    for instruction in INSTRUCTIONS[len(GLOBALS) :]:
        if instruction.name == "FROM":
            stages[instruction.text.partition(" AS ")[2]] = []
        list(stages.values())[-1].append(instruction)
    return stages


STAGES = _stages()
TOOLS, BUILD, SERVE, BUILD_EXPORT, EXPORT = (
    STAGES[name] for name in ("tools", "build", "serve", "build-export", "export")
)
ARGUMENTS = dict(text.partition("=")[::2] for name, text in INSTRUCTIONS if name == "ARG" and "=" in text)
INSTALL = (ROOT / "service" / "image" / "install-environment").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CONSTRAINTS = {
    "cpu": ["service/constraints.txt"],
    "openvino": ["service/constraints.txt", "service/image/openvino.txt"],
    "gpu": ["service/constraints.txt", "service/image/gpu.txt"],
    "export": ["export/constraints.txt"],
}
"""Files with the versions of each engine that an image may have."""
PINS = {path for paths in CONSTRAINTS.values() for path in paths} | {"service/image/tools.txt"}


def _texts(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.text for instruction in stage if instruction.name == name]


def _pairs(name: str, stage: list[Instruction] = SERVE) -> dict[str, str]:
    """Return the keys and values of an instruction."""
    return dict(pair.split("=", 1) for text in _texts(stage, name) for pair in shlex.split(text))


def _words(name: str, stage: list[Instruction] = SERVE) -> list[str]:
    """Return the command of an instruction, which has the exec form (a JSON array)."""
    (text,) = _texts(stage, name)
    words: list[str] = json.loads(text[text.index("[") :])
    return words


def _copied() -> set[str]:
    """Return the paths that the build copies from the repository."""
    return {source for text in _texts(TOOLS, "COPY") for source in text.split()[:-1]}


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
    """One build argument sets the base of all images, so that the environment has the same Python in the last stage."""
    bases = {name: stage[0].text.split()[0] for name, stage in STAGES.items()}
    assert bases == {
        "tools": "${BASE}",
        "build": "tools",
        "serve": "${BASE}",
        "build-export": "tools",
        "export": "${BASE}",
        "": "serve",
    }
    assert [text.partition("=")[0] for _, text in GLOBALS] == ["BASE", "VERSION", "REVISION", "CREATED"]


def test_default_image_serves() -> None:
    """`docker build .` makes it. Older releases of buildah build all stages above, so the export stands below it."""
    assert [instruction.name for instruction in STAGES[""]] == ["FROM"]
    assert list(STAGES) == ["tools", "build", "serve", "build-export", "export", ""]
    assert "$(call build,serve,$(IMAGE)" in MAKEFILE
    assert "$(call build,export,$(EXPORT_IMAGE)" in MAKEFILE


def test_base_image_has_a_supported_python() -> None:
    """The default base is new enough, and equals that of the Makefile."""
    image, _, tag = ARGUMENTS["BASE"].partition(":")
    assert image == "python"
    assert SpecifierSet(PROJECT["requires-python"]).contains(tag.partition("-")[0])
    assert f"\nBASE ?= {ARGUMENTS['BASE']}\n" in MAKEFILE


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
    assert sent == {PurePosixPath(path).parts[0] for path in _copied()}
    assert _is_ignored(PurePosixPath("service/rerank_service/__pycache__/errors.cpython-312.pyc"))


def test_all_sources_of_the_wheel_are_copied() -> None:
    """The constraints of its installation are copied too."""
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = ["pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *wheel, *PINS]
    assert {PurePosixPath(path).parts[0] for path in needed} == {PurePosixPath(path).parts[0] for path in _copied()}
    assert all((ROOT / path).exists() for path in needed)


def test_each_extra_is_installed_under_its_constraints() -> None:
    """The script knows these extras only: with an unknown extra, pip would install no engine and only print a line."""
    (cases,) = re.findall(r"^case \$engine in\n(.*?)^esac", INSTALL, re.MULTILINE | re.DOTALL)
    found: dict[str, list[str]] = {}
    for names, constraints in re.findall(r"^  ([\w |]+)\) constraints=(.+) ;;", cases, re.MULTILINE):
        for name in names.split(" | "):
            found[name] = constraints.strip('"').replace("$engine", name).split(" -c ")
    assert found == CONSTRAINTS
    assert found.keys() <= PROJECT["optional-dependencies"].keys()
    assert "-c $constraints" in INSTALL
    script = ROOT / "service" / "image" / "install-environment"
    refused = subprocess.run(["sh", script, "gpuu"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr == "EXTRA is 'gpuu': begin with cpu, openvino or gpu, such as cpu,otel\n"


def test_every_package_of_a_build_has_one_version() -> None:
    """pip, hatchling and cyclonedx-bom too, and the engine of each extra."""
    pins = {path: (ROOT / path).read_text() for path in PINS}
    for path, text in pins.items():
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), path
    (install,) = [text for text in _texts(TOOLS, "RUN") if " install " in text]
    names = install.partition("-c service/image/tools.txt ")[2].split()
    assert {"pip", "hatchling", "cyclonedx-bom"} == set(names)
    assert all(f"\n{name}==" in pins["service/image/tools.txt"] for name in names)
    engines = {"openvino": "onnxruntime-openvino", "gpu": "onnxruntime-gpu"}
    assert all(f"\n{engine}==" in pins[f"service/image/{extra}.txt"] for extra, engine in engines.items())
    service = set(pins["service/constraints.txt"].splitlines())
    for extra in engines:
        pinned = {line.partition("==")[0] for line in service}
        lines = [line for line in pins[f"service/image/{extra}.txt"].splitlines() if line.partition("==")[0] in pinned]
        assert set(lines) <= service, f"service/image/{extra}.txt differs from service/constraints.txt: run make lock"


def test_build_does_not_depend_on_its_time() -> None:
    """Each stage that writes files of an image knows the time of the commit. pip writes no byte code."""
    for stage in (BUILD, BUILD_EXPORT):
        assert "SOURCE_DATE_EPOCH=0" in _texts(stage, "ARG")
    installs = [text for text in (*_texts(TOOLS, "RUN"), INSTALL) if "-m pip" in text]
    assert len(installs) == 3
    assert all("--no-cache-dir" in text for text in installs)
    assert "--no-compile" in INSTALL
    assert "--invalidation-mode checked-hash" in INSTALL
    assert 'touch -h -d "@$SOURCE_DATE_EPOCH"' in INSTALL.splitlines()[-1]


def test_package_index_comes_from_secrets() -> None:
    """Its address and its authorities stay out of the images."""
    secrets = "--mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca "
    for stage in (TOOLS, BUILD, BUILD_EXPORT):
        assert _texts(stage, "RUN")[0].startswith(secrets)
    assert CA_SECRET == "/run/secrets/ca"
    assert "--secret id=pip$(COMMA)src=$(IMAGE_PIP_CONF)" in MAKEFILE
    assert "--secret id=ca$(COMMA)src=$(IMAGE_CA)" in MAKEFILE


def test_make_passes_all_build_arguments() -> None:
    """An argument that make does not pass would keep its default."""
    passed = set(re.findall(r"--build-arg (\w+)=", MAKEFILE))
    assert passed == ARGUMENTS.keys()


def test_sbom_lies_where_make_reads_it() -> None:
    """In the environment, which is all that the images copy."""
    (path,) = re.findall(r"^SBOM := (\S+)$", MAKEFILE, re.MULTILINE)
    assert path.replace("/opt/rerank/", "sbom=$prefix/") in INSTALL
    assert path in (ROOT / "docs" / "image.md").read_text()


@pytest.mark.parametrize(("stage", "source"), [(SERVE, "build"), (EXPORT, "build-export")], ids=["serve", "export"])
def test_images_copy_only_an_environment(stage: list[Instruction], source: str) -> None:
    """They have no sources, no wheel, no tools and no cache."""
    assert _texts(stage, "COPY") == [f"--from={source} /opt/rerank /opt/rerank"]
    assert not {"ADD", "VOLUME"} & {instruction.name for instruction in stage}
    assert not _texts(SERVE, "RUN")


def test_only_the_export_stage_has_torch() -> None:
    """It installs the extra `export`. No other stage copies from it."""
    assert "install-environment export " in _texts(BUILD_EXPORT, "RUN")[0]
    others = [text for stage in (TOOLS, BUILD, SERVE) for _, text in stage]
    assert not [text for text in others if "install-environment export" in text or "--from=build-export" in text]


def test_export_stage_runs_the_exporter() -> None:
    """It runs without root rights in the mounted folder; without arguments it prints its help."""
    (folder,), (user,) = _texts(EXPORT, "WORKDIR"), _texts(EXPORT, "USER")
    assert _texts(EXPORT, "RUN") == [f"mkdir -m 1777 {folder}"]
    assert _texts(SERVE, "USER") == [user]
    script, *arguments = _words("ENTRYPOINT", EXPORT) + _words("CMD", EXPORT)
    assert script in PROJECT["scripts"]
    shown_help = subprocess.run([sys.executable, "-m", "rerank_service", *arguments], capture_output=True, text=True)
    assert shown_help.returncode == 0
    assert "--trust-remote-code" in shown_help.stdout


def test_image_runs_as_a_user_without_root_rights() -> None:
    """The user is a number, so that Kubernetes can verify that it is not root. It equals that of the manifests."""
    (user,) = _texts(SERVE, "USER")
    deployment = yaml.safe_load((ROOT / "deploy" / "base" / "deployment.yaml").read_text())
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert 0 not in map(int, user.split(":"))


def test_image_exposes_the_default_ports() -> None:
    """The ports are the defaults of the settings."""
    assert [int(port) for text in _texts(SERVE, "EXPOSE") for port in text.split()] == PORTS


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
    """Title, description, licence and source come from pyproject.toml, the rest from the build."""
    common = {
        "version": "${VERSION}",
        "revision": "${REVISION}",
        "created": "${CREATED}",
        "source": PROJECT["urls"]["Repository"],
        "licenses": PROJECT["license"],
    }
    names = {"title": PROJECT["name"], "description": PROJECT["description"]}
    assert _labels(SERVE) == names | common
    exported = _labels(EXPORT)
    assert exported.pop("description")
    assert exported == common | {"title": f"{PROJECT['name']}-export"}
    for stage in (SERVE, EXPORT):  # an argument above the first FROM has no value in a stage without it
        assert _texts(stage, "ARG") == ["VERSION", "REVISION", "CREATED"]


def _labels(stage: list[Instruction]) -> dict[str, str]:
    return {name.removeprefix("org.opencontainers.image."): value for name, value in _pairs("LABEL", stage).items()}


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


def test_health_check_has_time_for_both_ports() -> None:
    """The check ends by its own timeouts, and can print which port does not answer."""
    (text,) = _texts(SERVE, "HEALTHCHECK")
    (seconds,) = re.findall(r"--timeout=(\d+)s", text)
    assert len(health_check.PORTS) * health_check.TIMEOUT_SECONDS < int(seconds)


async def test_health_check_covers_both_ports() -> None:
    """Without the gRPC port, the container is unhealthy."""
    async with listening(build_app(_routes(ready=True)), rest_options()) as rest:
        with socket.create_server(("127.0.0.1", 0)) as grpc:
            port = grpc.getsockname()[1]
            assert await _health_check(port, rest.port) == 0
        assert await _health_check(port, rest.port) == 1
