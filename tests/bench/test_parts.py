"""Parts of the benchmark that need no peer: host, processes, environments, and the batches of the bare engine."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.environments import _CONSTRAINTS, REQUIREMENTS
from bench.host import host_of
from bench.processes import Child, Died, Runner, child, free_port, interruptible
from bench.runners.bare import plan
from rerank_service.engine.batch_defaults import CPU_LIMITS

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16
"""
"""/proc/cpuinfo of Linux."""


def test_host_is_read_from_cpuinfo() -> None:
    """The name covers a whole product line, so family, model and stepping are added."""
    host = host_of(EPYC, 2)
    assert host.cpu == "AMD EPYC (25/17/1)"
    assert (host.kind.value, host.slug) == ("AMD", "amd-epyc-25-17-1-2-cores")
    assert host.features == ("avx512_bf16", "avx512_vnni", "avx512f", "avx2")
    assert not host.has_amx
    assert host_of("model name : X\nflags : amx_bf16 amx_tile\n", 1).has_amx


def test_host_without_cpuinfo_has_a_name() -> None:
    """Other operating systems and architectures have no /proc/cpuinfo."""
    assert host_of("", 4).slug.endswith("4-cores")


def test_bare_engine_batches_stay_within_the_limits() -> None:
    """The longest pairs come first, and each pair once. A pair beyond the limit runs alone."""
    limits = replace(CPU_LIMITS, max_tokens=40, max_pairs=3, length_multiple=4)
    lengths = [50, 20, 19, 10, 9, 8, 8, 8, 1]
    batches = plan(lengths, limits)
    assert [lengths[span] for span in batches] == [[50], [20, 19], [10, 9, 8], [8, 8, 1]]


def test_every_peer_is_pinned() -> None:
    """Whole environments are pinned: the CPU build of torch, and no local paths."""
    for name in REQUIREMENTS:
        lines = (_CONSTRAINTS / f"{name}.txt").read_text().splitlines()[1:]
        assert all("==" in line and "/" not in line and "+" not in line for line in lines), name
        assert not any(line.startswith("nvidia") for line in lines), name


RUNNER = """
import sys
sys.path[:0] = [{tests!r}]
from bench.runners.protocol import serve

class Engine:
    def prepare(self, requests):
        print("a library prints what it likes")
        return requests
    def run(self, prepared, batch):
        return [[len(document) / batch for document in documents] for _, documents in prepared]

serve(lambda message: Engine(), ("numpy",))
"""


def runner_command() -> list[str]:
    """Return a command that runs a trivial engine."""
    return [sys.executable, "-c", RUNNER.format(tests=str(Path(__file__).parents[1]))]


def test_runner_responds_in_json_lines(tmp_path: Path) -> None:
    """Output of libraries goes to the log. An error is a response, and the runner continues."""
    with child(runner_command(), tmp_path / "log") as process:
        runner = Runner(process)
        assert "numpy" in runner.ask({"do": "load"}, 60)["versions"]
        assert runner.ask({"do": "prepare", "requests": [["q", ["ab", "abcd"]]]}, 60) == {}
        response = runner.ask({"do": "run", "batch": 2}, 60)
        assert response["scores"] == [[1.0, 2.0]]
        assert response["seconds"] > 0
        with pytest.raises(Died, match="ZeroDivisionError"):
            runner.ask({"do": "run", "batch": 0}, 60)
        assert runner.ask({"do": "run", "batch": 1}, 60)["scores"] == [[2.0, 4.0]]
    assert "a library prints" in (tmp_path / "log").read_text()


def test_child_that_ends_hangs_or_is_stopped_is_killed(tmp_path: Path) -> None:
    """The error has the reason, and its own children are killed too."""
    ends = child([sys.executable, "-c", "raise SystemExit('no licence')"], tmp_path / "a")
    with ends as process, pytest.raises(Died, match="no licence"):
        Runner(process).ask({"do": "load"}, 60)
    hangs = child([sys.executable, "-c", "input(); input()"], tmp_path / "b")
    with hangs as process, pytest.raises(Died, match="hung for"):
        Runner(process).ask({"do": "load"}, 0.2)
    with child(["sh", "-c", "sleep 600 & wait"], tmp_path / "c") as process:
        process.stop()
    assert process.popen.poll() == -signal.SIGKILL


def test_sigterm_kills_child_processes(tmp_path: Path) -> None:
    """SIGTERM has the effect of Ctrl-C."""
    with (
        pytest.raises(KeyboardInterrupt),
        interruptible(),
        child(["sleep", "600"], tmp_path / "log") as process,
    ):
        signal.raise_signal(signal.SIGTERM)
    assert process.popen.poll() == -signal.SIGKILL


def test_sigterm_kills_the_child_processes_of_a_coroutine(tmp_path: Path) -> None:
    """The coroutine is cancelled, so that it leaves its blocks."""
    processes: list[Child] = []

    async def work() -> None:
        with child(["sleep", "600"], tmp_path / "log") as process:
            processes.append(process)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt), interruptible():
        asyncio.run(work())
    assert [process.popen.poll() for process in processes] == [-signal.SIGKILL]


def test_free_ports_differ() -> None:
    """Two calls return different ports."""
    assert free_port() != free_port()
