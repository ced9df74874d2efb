"""Parts of `make bench`: which are measured, how long they take, and their files; and what NO_AMX=1 hides."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.duration import duration_text, seconds_of_part
from bench.figures.relevance import logits_of, loss_of, parity_requests
from bench.hidden_amx import HIDDEN_FEATURES, LIMITS
from bench.host import host_of
from bench.options import FULL, QUICK
from bench.parts import BUNDLED, PARTS, RANDOM, SERVER, Part, PartFiles, PartResults, chosen_parts, peers_of
from bench.pool import Record
from bench.run import Run
from bench.systems import SERVED
from rerank_service.tools.loadtest.target import ServerInfo

HOST = host_of("model name : AMD EPYC\nflags : avx2\n", 2)


def results(part: Part) -> PartResults:
    """Return small results of a part."""
    return PartResults(
        part=part,
        date="2026-01-01",
        seconds=90.0,
        served=ServerInfo(),
        settings={},
        work=1,
        records=[Record(system=SERVED, documents_per_second=[1.0])],
        levels=[],
    )


def test_parts_are_chosen_by_name_and_by_peer() -> None:
    """The server's part needs no peer; others are left out with all of their peers."""
    everything = peers_of(PARTS)
    assert [part.name for part in chosen_parts([], everything)] == [part.name for part in PARTS]
    assert chosen_parts([], ["fastembed"]) == [Part(SERVER, RANDOM), Part("onnx", RANDOM, ("fastembed",))]
    assert [part.name for part in chosen_parts([BUNDLED], everything)] == [BUNDLED]
    assert [part.name for part in chosen_parts([], [])] == [SERVER]


def test_measured_part_is_found_until_something_changes(tmp_path: Path) -> None:
    """Options, processor and the server's variables change the figures; other variables do not."""
    part = PARTS[1]
    files = PartFiles(tmp_path, HOST, QUICK, {"RERANK_LANES": "2", "HOME": "/a"})
    assert files.load(part) is None
    assert files.seconds(part.name) is None
    files.store(results(part))
    assert PartFiles(tmp_path, HOST, QUICK, {"RERANK_LANES": "2", "HOME": "/b"}).load(part) == results(part)
    assert files.load(PARTS[2]) is None
    assert PartFiles(tmp_path, HOST, FULL, {"RERANK_LANES": "2"}).load(part) is None
    changed = PartFiles(tmp_path, HOST, QUICK, {"RERANK_LANES": "1"})
    assert changed.load(part) is None
    assert changed.seconds(part.name) == 90.0


def test_unreadable_part_is_measured_again(tmp_path: Path) -> None:
    """The form of the files may have changed."""
    files = PartFiles(tmp_path, HOST, QUICK, {})
    files.store(results(PARTS[0]))
    (path,) = tmp_path.rglob("*.json")
    path.write_text("{}")
    assert files.load(PARTS[0]) is None
    assert files.seconds(SERVER) is None


def test_duration_is_estimated_for_each_part() -> None:
    """The full benchmark takes longer, and more peers take longer. The first line names the parts that are measured already."""
    run = Run(HOST, Path("models"), None, Path("logs"))
    full, quick = (
        [seconds_of_part(part, [system for each in run.systems(part) for system in each], options) for part in PARTS]
        for options in (FULL, QUICK)
    )
    assert all(longer > shorter for longer, shorter in zip(full, quick, strict=True))
    assert 600 < sum(full) < 7200
    line = duration_text([(PARTS[1], 240.0)], [PARTS[0]])
    assert "about 4 minutes" in line
    assert "measured already: server (FRESH=1 measures again)" in line
    assert duration_text([], [PARTS[0]]).startswith("nothing to measure; measured already: server")


def test_relevance_loss_of_equal_and_of_reversed_rankings() -> None:
    """Probabilities of 0 and 1 have finite logits; NaN loses everything."""
    expected = [logits_of([0.9, 0.1, 0.0]), logits_of([1.0, 0.5, 0.2])]
    assert np.isfinite(np.concatenate(expected)).all()
    assert loss_of(expected, expected).worst == 0.0
    reversed_one = loss_of(expected, [expected[0][::-1], expected[1]])
    assert 0.0 < reversed_one.mean < reversed_one.worst < 1.0
    assert loss_of(expected, [logits_of([float("nan"), 0.1, 0.2]), expected[1]]).worst == 1.0


def test_parity_requests_fit_every_model() -> None:
    """A character is at most one token of the benchmark's tokenizer, so query and document fit 512 tokens."""
    requests = parity_requests(40)
    assert len(requests) == 40
    assert {len(request.documents) for request in requests} == {20}
    longest = max(len(request.query) + len(document) for request in requests for document in request.documents)
    assert longest < 500


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="x86-64 Linux only")
def test_amx_is_refused_to_a_program_and_its_children() -> None:
    """The kernel's answer to the request for AMX changes from "yes", or "invalid" without AMX, to "not permitted"."""
    ask = "import ctypes, errno; libc = ctypes.CDLL(None, use_errno=True)\nanswer = libc.syscall(158, 0x1023, 18)\n"
    ask += "print(answer, errno.errorcode.get(ctypes.get_errno(), ''))"
    code = (
        "import os, subprocess, sys\nfrom bench.hidden_amx import hide_amx\nhide_amx(os.environ)\n"
        f"subprocess.run([sys.executable, '-c', {ask!r}], check=True)\nprint(os.environ['ONEDNN_MAX_CPU_ISA'])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.splitlines() == [LIMITS["ONEDNN_MAX_CPU_ISA"], "-1 EPERM"] or ran.stdout.split() == [
        "-1",
        "EPERM",
        LIMITS["ONEDNN_MAX_CPU_ISA"],
    ]


def test_hidden_features_change_the_kind_and_the_name_of_the_page() -> None:
    """A machine with AMX stands in for one without."""
    cpuinfo = (
        "model name : Intel(R) Xeon(R) Processor\ncpu family : 6\nmodel : 143\nstepping : 8\n"
        "flags : avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8\n"
    )
    host = host_of(cpuinfo, 2)
    assert (host.kind.value, host.slug) == ("Intel with AMX", "intel-xeon-6-143-8-2-cores")
    assert not host.has_only_vnni
    hidden = host_of(cpuinfo, 2, HIDDEN_FEATURES)
    assert (hidden.kind.value, hidden.slug) == ("Intel without AMX", "intel-xeon-6-143-8-2-cores-without-amx")
    assert hidden.has_only_vnni
    assert set(hidden.hidden) == {"amx_bf16", "amx_int8", "avx512_bf16"}
