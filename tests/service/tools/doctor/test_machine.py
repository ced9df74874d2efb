"""Checks of the machine: packages, processor, limits and engines, with facts of other machines."""

from pathlib import Path

import pytest

from rerank_service.engine.available import AvailableEngines, SkippedEngine, available_engines
from rerank_service.engine.cgroup_limits import memory_limits
from rerank_service.engine.host import Cores, Cpu, cores
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.installation import installed_version
from rerank_service.tools.doctor.engines import engine_findings
from rerank_service.tools.doctor.finding import Finding, Status
from rerank_service.tools.doctor.machine_limits import cores_findings, memory_findings
from rerank_service.tools.doctor.packages import (
    own_requirements,
    package_findings,
    required_packages,
)
from rerank_service.tools.doctor.processor import processor_findings
from support.cgroup_tree import CgroupTree

_REQUIREMENTS = [
    "grpcio>=1.85.1",
    "protobuf<9,>=7.35.1",
    'backports-zstd>=1.0; (python_version < "3.14") and extra == "server"',
    "fastapi>=0.120; extra == 'server'",
    'onnx>=1.18; extra == "cpu"',
    'rerank-service[server]; extra == "cpu"',
]


def _statuses(findings: list[Finding]) -> dict[str, Status]:
    return {finding.name: finding.status for finding in findings}


def _only(findings: list[Finding], status: Status) -> Finding:
    [found] = [finding for finding in findings if finding.status is status]
    assert found.fix
    return found


def test_packages_of_the_extra_server_are_required() -> None:
    """Packages of other extras and of some Python versions are not."""
    assert required_packages(_REQUIREMENTS) == ["fastapi", "grpcio", "protobuf"]
    assert {"grpcio", "uvicorn", "tokenizers"} <= set(required_packages(own_requirements()))


def test_installed_packages_are_ok() -> None:
    """The details have their versions."""
    findings = list(package_findings(installed_version, own_requirements()))
    assert {finding.status for finding in findings} == {Status.OK}
    assert f"grpcio {installed_version('grpcio')}" in findings[1].details


@pytest.mark.parametrize(
    ("runtime", "extra"), [("onnxruntime", "cpu"), ("onnxruntime-gpu", "gpu"), ("onnxruntime-openvino", "openvino")]
)
def test_missing_package_is_wrong(runtime: str, extra: str) -> None:
    """The fix installs the extra that keeps the installed runtime."""
    versions = {"rerank-service": "1", "grpcio": "1", "protobuf": "7", runtime: "1.23.0"}
    found = _only(list(package_findings(versions.get, _REQUIREMENTS)), Status.WRONG)
    assert found.text == "not installed: fastapi"
    assert f"[{extra}]" in found.fix


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, "no package with ONNX Runtime"),
        ({"onnxruntime": "1.23.0", "onnxruntime-gpu": "1.24.0"}, "onnxruntime 1.23.0, onnxruntime-gpu 1.24.0"),
    ],
)
def test_there_is_one_onnx_runtime(versions: dict[str, str], words: str) -> None:
    """Two of its packages overwrite each other's files."""
    findings = list(package_findings({"rerank-service": "1", **versions}.get, ()))
    assert words in _only(findings, Status.WRONG).text


@pytest.mark.parametrize(
    ("features", "slow"),
    [
        ({"avx2", "avx512f", "avx512_vnni", "avx512_bf16"}, set()),
        ({"avx2"}, {"bf16", "int8"}),
        ({"sse4_2"}, {"fp32", "bf16", "int8"}),
        ({"asimd", "asimddp", "bf16"}, set()),
        (set(), set()),  # not Linux
    ],
)
def test_processor_without_fast_instructions_is_slow(features: set[str], slow: set[str]) -> None:
    """For each precision."""
    findings = list(processor_findings(Cpu("a processor", frozenset(features))))
    found = {finding.name.split()[0] for finding in findings if finding.status is Status.SLOW}
    assert (findings[0].text, found) == ("a processor", slow)


@pytest.mark.parametrize(
    ("quota", "status"), [(None, Status.OK), (2.0, Status.OK), (1.5, Status.SLOW), (0.5, Status.SLOW), (9.5, Status.OK)]
)
def test_fraction_of_a_core_is_slow(quota: float | None, status: Status) -> None:
    """Unless the affinity is smaller."""
    [finding] = cores_findings(Cores(2, 4, quota), 8)
    assert finding.status is status
    assert "affinity 4 of 8 cores" in finding.text


def test_real_limits_of_a_cgroup_are_shown(tmp_path: Path) -> None:
    """The limits of a group with 5 % left, and its quota."""
    tree = CgroupTree(tmp_path)
    tree.process("0::/pod")
    files = {"memory.max": "1000000000", "memory.current": "950000000", "cpu.max": "150000 100000"}
    tree.group("pod", files)
    found = _only(list(memory_findings(memory_limits(tree.system))), Status.SLOW)
    assert "limit 1,000 MB" in found.text
    assert "50 MB left" in found.text
    [of_cores] = cores_findings(cores(tree.system), 8)
    assert "CPU quota 1.5 cores" in of_cores.text
    assert [finding.text for finding in memory_findings(())] == ["no limit by a cgroup"]


def test_engines_of_this_machine_are_listed() -> None:
    """First the working ones, then a reason for each other one."""
    available = available_engines(Provider.AUTO, Precision.AUTO)
    findings = list(engine_findings(available, Cpu("any", frozenset()), has_gpu=False))
    assert "cpu fp32" in findings[0].text
    text = " ".join(finding.text for finding in findings)
    assert all(str(skipped.engine) in text and skipped.reason in text for skipped in available.skipped)
    assert _statuses(findings) == {"engines": Status.OK}


def test_unused_hardware_is_slow() -> None:
    """A processor with bf16, and a GPU, that no engine uses."""
    cuda = SkippedEngine(Engine(Provider.CUDA, Precision.FP16), "this onnxruntime has no CUDA")
    available = AvailableEngines((CPU_FP32,), (cuda,))
    findings = list(engine_findings(available, Cpu("Zen 4", frozenset({"avx512_bf16"})), has_gpu=True))
    fixes = {finding.name: finding.fix for finding in findings if finding.status is Status.SLOW}
    assert "[openvino]" in fixes["bf16"]
    assert "[gpu]" in fixes["GPU"]


def test_bf16_of_the_processor_is_not_missed_beside_cuda() -> None:
    """The extra openvino would replace the runtime of the GPU."""
    available = AvailableEngines((Engine(Provider.CUDA, Precision.FP16), CPU_FP32), ())
    findings = list(engine_findings(available, Cpu("Zen 4", frozenset({"avx512_bf16"})), has_gpu=True))
    assert _statuses(findings) == {"engines": Status.OK}
