"""Faults of a started server, forced by real signals, limits and changed files. docs/reliability.md has the list."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest

from rerank.client import RerankClient
from rerank.errors import Unavailable
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.models.files import WEIGHTS
from support.broken_process import memory_limit, patched, stopped
from support.process import Process, Start, command, environment, started
from support.small import write_small_model

ALL_FAULTS = "ALL_FAULTS" in os.environ
"""True for `make torture-faults`. Otherwise the slow tests run one case each."""
_LONG = 8 * "The server goes on, and each request ends in an answer or in an error about its deadline. "


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """Start a server with the bundled model, whose batches need memory and time."""
    with started("--lanes", "1", "--provider", "cpu", "--precision", "fp32", "--max-batch-tokens", "8192") as process:
        yield process


def _rank(server: Process, documents: list[str], seconds: str = "60") -> httpx.Response:
    body = {"query": "Which request ends?", "documents": documents}
    return httpx.post(f"{server.rest}/v2/rerank", json=body, headers={"X-Request-Timeout": seconds}, timeout=120)


def _is_ready(server: Process) -> bool:
    return httpx.get(f"{server.rest}/health/ready", timeout=60).is_success


def test_batches_without_memory_are_smaller_and_no_request_fails(server: Process) -> None:
    """The process may allocate 8 MiB more, and a batch of 2,000 tokens needs more. Then the limit is gone again."""
    documents = [" ".join(f"word{number}" for number in range(at, at + 300)) for at in range(0, 900, 300)]  # windows
    with memory_limit(server.popen.pid, 8 * 2**20):
        limited = _rank(server, documents)
    assert limited.status_code == 200, limited.text
    assert _is_ready(server)
    free = _rank(server, documents)
    scores = [{each["index"]: each["relevance_score"] for each in got.json()["results"]} for got in (limited, free)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_stopped_server_answers_when_it_goes_on(server: Process) -> None:
    """SIGSTOP for a second, then SIGCONT. Accepted requests end in an answer or a deadline error. Then nothing is left
    of the stop: the server is ready, and no forecast rejects a request."""
    scored, goes_on = threading.Event(), threading.Event()

    def documents() -> Iterator[str]:
        yield from ["before the stop"] * 257  # the client sends 256 at once
        goes_on.wait(60)
        yield "after the stop"

    with (
        ThreadPoolExecutor(5) as threads,
        RerankClient(server.grpc, retries=0, timeout=60) as client,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        grpc.channel_ready_future(channel).result(timeout=60)
        live = threads.submit(client.rerank_stream, "q", documents(), on_scores=lambda _: scored.set())
        assert scored.wait(60)
        accepted = [threads.submit(_rank, server, [f"{at} {_LONG}" for at in range(count)]) for count in (2, 8)]
        short = threads.submit(_rank, server, [f"{at} {_LONG}" for at in range(9)], seconds="0.9")
        with stopped(server.popen.pid):
            waiting = threads.submit(_rank, server, ["sent while the server stands still"])
            with pytest.raises(grpc.RpcError) as caught:
                pb_grpc.RerankStub(channel).ListModels(pb.ListModelsRequest(), timeout=1)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        goes_on.set()
        assert len(live.result().results) == 258
        statuses = {request.result().status_code for request in (*accepted, waiting)}
        assert statuses <= {200, 429}  # 429, not accepted: the short one would be late beside it
        assert short.result().status_code in (200, 429, 504)  # 429: the forecast saw that it would be late
        assert _is_ready(server)
        assert len(client.rerank("q", ["d"] * 10).results) == 10
    assert _rank(server, [_LONG], seconds="10").status_code == 200


def test_the_events_of_both_faults_are_in_the_log(server: Process) -> None:
    """Runs last, because it ends the server: gracefully, after all of the above."""
    server.popen.terminate()
    assert server.ended() == 0
    events = {str(each["event"]) for each in server.log()}
    assert "out of memory" in events or not ALL_FAULTS  # whether 8 MiB are too few depends on the allocator
    assert not {event for event in events if "error" in event}


def test_weights_written_in_place_end_the_server(start: Start, tmp_path: Path) -> None:
    """A new bundle that is moved to its place, and a removed one, change nothing. But when the mapped file is written,
    its scores would be wrong: the caller is sent to another replica, and the process ends with one line."""
    folder = write_small_model(tmp_path / "small", weights_beside=True).folder
    server = start("--model", str(folder), "--provider", "cpu")
    (tmp_path / "weights").hardlink_to(folder / WEIGHTS)
    folder.rename(tmp_path / "old")
    write_small_model(folder)
    for path in (tmp_path / "old").iterdir():
        path.unlink()
    with RerankClient(server.grpc, retries=0) as client:
        assert [result.index for result in client.rerank("0", ["1", "5 5"]).results] == [1, 0]
        os.truncate(tmp_path / "weights", 0)
        with pytest.raises(Unavailable):
            client.rerank("0", ["1", "5 5"])
    assert server.ended() == 1
    assert server.popen.stderr is not None
    *_, last = server.popen.stderr
    assert last.startswith(f"rerank: {folder / WEIGHTS} was changed in place while the server used it")


def _log_after(server: Process, fault: Path) -> str:
    """Let the fault occur in a ranking. Return the log of the process, which must end with status 1."""
    with RerankClient(server.grpc, retries=0) as client:
        assert len(client.rerank("0", ["1"]).results) == 1
        fault.touch()
        with pytest.raises(Unavailable):
            client.rerank("0", ["2"])
    assert server.ended() == 1
    assert server.popen.stderr is not None
    return server.popen.stderr.read()


_DYING_LANE = """
import os, threading
from rerank_service.scheduling.lane_pool import Membership

def is_ready(member, intact=Membership.is_ready):
    ready = intact(member)  # only with work: otherwise the server may stop before the request arrives
    if ready and "lane-" in threading.current_thread().name and os.path.exists(os.environ["FAULT"]):
        raise SystemError("the fault of a test")
    return ready

Membership.is_ready = is_ready
"""


def test_the_death_of_a_lane_ends_the_server(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """No request waits for a lane that is missing: the process ends, with the error, and is started again."""
    fault = tmp_path / "fault"
    server = start("--model", str(small_folder), "--lanes", "2", prefix=patched(_DYING_LANE), FAULT=str(fault))
    assert "the fault of a test" in _log_after(server, fault)


_LOST_DEVICE = """
import os
from rerank_service.engine.session import CrossEncoder

def score(*arguments, intact=CrossEncoder.score):
    if os.path.exists(os.environ["FAULT"]):
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    return intact(*arguments)

CrossEncoder.score = score
"""


def test_an_engine_that_fails_on_every_pair_ends_the_server(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """A GPU that is lost fails at once and for good: the server would be ready, and answer each request with 500."""
    fault = tmp_path / "fault"
    server = start("--model", str(small_folder), "--lanes", "2", prefix=patched(_LOST_DEVICE), FAULT=str(fault))
    last = _log_after(server, fault).splitlines()[-1]
    assert last.startswith("rerank: model 'small' does not score a short pair either: CUDA failure 700: ")


_HANGING = """
import os, threading
from rerank_service.engine.session import CrossEncoder

def score(*arguments, intact=CrossEncoder.score):
    if os.path.exists(os.environ["FAULT"]):
        threading.Event().wait()
    return intact(*arguments)

CrossEncoder.score = score
"""


def test_a_batch_that_hangs_ends_the_server(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """Its lane would be missing until the next start, and a shutdown would wait for it. The stacks are in the log."""
    fault = tmp_path / "fault"
    options = ("--model", str(small_folder), "--lanes", "1", "--batch-timeout", "1")
    server = start(*options, prefix=patched(_HANGING), FAULT=str(fault))
    log = _log_after(server, fault)
    assert "batch hangs" in log
    assert "in run_batch" in log


_NO_MORE_THREADS = """
import os, threading

def start(thread, intact=threading.Thread.start):
    if os.path.exists(os.environ["FAULT"]):
        raise RuntimeError("can't start new thread")
    intact(thread)

threading.Thread.start = start
"""


def test_no_request_needs_a_new_thread(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """A process without memory for another one, or at its limit, answers with the threads of its start."""
    fault = tmp_path / "fault"
    server = start("--model", str(small_folder), prefix=patched(_NO_MORE_THREADS), FAULT=str(fault))
    fault.touch()
    for documents in (["1"], ["1"] * 1000, ["2 " * 50_000] * 10):
        assert _rank(server, documents).status_code == 200
    for path in ("/health/ready", "/metrics", "/openapi.json", "/v1/models"):
        assert httpx.get(server.rest + path, timeout=60).status_code == 200
    with RerankClient(server.grpc, retries=0) as client:
        assert len(client.rerank("0", ["1"] * 300).results) == 300


_KILLED = """
import importlib, os, signal
owner = importlib.import_module("{module}")
owner = getattr(owner, "{part}", owner)

def fatal(*arguments, intact=owner.{name}, **options):
    if os.path.exists(os.environ["FAULT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return intact(*arguments, **options)

owner.{name} = fatal
"""
_SWAP_STAGES = {
    "verification": ("rerank_service.models.loading", "", "open_bundle"),
    "session": ("rerank_service.models.loading", "", "build_model"),
    "golden pairs": ("rerank_service.models.loading", "", "check_golden"),
    "swap": ("rerank_service.models.registered_model", "RegisteredModel", "serve"),
    "end of the old version": ("rerank_service.scheduling.scheduler", "Scheduler", "retire"),
}


@pytest.mark.parametrize("stage", _SWAP_STAGES if ALL_FAULTS else ["end of the old version"])
def test_a_server_that_is_killed_during_a_hot_swap_starts_with_the_new_version(
    stage: str, start: Start, tmp_path: Path
) -> None:
    """SIGKILL before each of its steps. Nothing on the disk belongs to the swap, so the next start finds the bundle."""
    folder, fault = write_small_model(tmp_path / "small").folder, tmp_path / "fault"
    new = write_small_model(tmp_path / "new", weights_beside=True)
    module, part, name = _SWAP_STAGES[stage]
    killed = patched(_KILLED.format(module=module, part=part, name=name))
    options = ("--model", str(folder), "--provider", "cpu", "--watch")
    server = start(*options, prefix=killed, FAULT=str(fault), RERANK_CACHE=str(tmp_path / "cache"))
    fault.touch()
    folder.rename(tmp_path / "old")
    new.folder.rename(folder)
    assert server.ended() == -signal.SIGKILL
    restarted = start(*options, RERANK_CACHE=str(tmp_path / "cache"))
    with RerankClient(restarted.grpc, retries=0) as client:
        assert client.models()[0].digest == new.digest
        assert [result.index for result in client.rerank("0", ["1", "5 5"]).results] == [1, 0]


_CRASH = """
import os, signal
from rerank_service import server

async def crash(*_):
    os.kill(os.getpid(), signal.SIGBUS)

server.serve = crash
"""


def test_a_crash_of_native_code_leaves_the_stacks_in_the_log() -> None:
    """For example SIGBUS, if a mapped file becomes shorter during a batch. Else, nothing would show the cause."""
    done = subprocess.run([*patched(_CRASH), *command("serve")], capture_output=True, text=True, env=environment())
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in done.stderr
