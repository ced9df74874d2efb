"""Flow of a server process: start, responses, errors at the start, and graceful shutdown."""

import io
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.client import RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.engine.host import usable_cores
from rerank_service.models.files import STARTER
from rerank_service.models.loading import select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.tools.doctor.model import model_findings
from support.process import Process, Start, command, environment, read_until
from support.rest_calls import get, post
from support.small import write_small_model

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_the_bundled_model_ranks_the_built_in_example(start: Start) -> None:
    """`rerank serve --example` shows a table with Washington first and the addresses, and continues to serve."""
    server = start("--example")
    shown = server.shown("Ctrl-C")
    assert re.search(r"\n +1 +0\.\d+ +2 +Washington", shown)
    assert server.grpc in shown
    assert server.rest in shown
    ranked = post(f"{server.rest}/v2/rerank", json={"query": "capital of france", "documents": ["Rome", "Paris"]})
    assert [result["index"] for result in ranked.json()["results"]] == [1, 0]
    page = get(server.rest).text
    for file in re.findall(r'(?:src|href)="(playground/[^"]+)"', page):
        assert get(f"{server.rest}/{file}").status_code == 200, "the wheel has the files of the playground"
    assert 'data-grpc-port="50051"' in page, "the system chose the port of gRPC"


def test_read_until_fails_if_the_output_ends_without_the_text() -> None:
    """The error has the output, and a server that ended early does not block the test."""
    assert read_until(io.StringIO("one\ntwo\nthree\n"), "tw") == "one\ntwo\n"
    with pytest.raises(AssertionError, match=r"before 'four'.*one.*three"):
        read_until(io.StringIO("one\ntwo\nthree\n"), "four")


def test_first_start_is_tuned_and_the_next_start_uses_the_result(start: Start, tmp_path: Path) -> None:
    """Tuning runs in the background while the server responds. The next start uses its result at once."""
    tuning = {"RERANK_TUNE": "auto", "RERANK_CACHE": str(tmp_path), "RERANK_TUNE_SECONDS": "3600"}
    server = start(**tuning)
    ranked = post(f"{server.rest}/v2/rerank", json={"query": "capital of france", "documents": ["Rome", "Paris"]})
    assert [result["index"] for result in ranked.json()["results"]] == [1, 0]
    assert server.popen.stderr is not None
    tuned = next(line for line in map(json.loads, server.popen.stderr) if line["event"] == "tuned")
    assert "; " not in tuned["why"]

    with RerankClient(start(**tuning).grpc) as client:
        [model] = client.models()
    assert model.choice.startswith(f"{tuned['why']}; ")
    assert re.search(r"; (cpu|openvino) \w+: ", model.choice), "the other engines"
    assert model.precision in tuned["engine"]


def test_incomplete_tuning_gives_one_engine_everywhere(start: Start, tmp_path: Path) -> None:
    """Without time to measure, the server, a local client and `rerank doctor` name the same engine and reason."""
    server = start(RERANK_TUNE="auto", RERANK_CACHE=str(tmp_path), RERANK_TUNE_SECONDS="0.001")
    assert server.popen.stderr is not None
    tuned = next(line for line in map(json.loads, server.popen.stderr) if line["event"] == "tuned")
    assert tuned["why"].startswith("exact; not decided within 0.001 s: ")
    assert tuned["why"].endswith(" (short tuning, provisional)")
    with RerankClient.local(cache=tmp_path) as local:
        [model] = local.models()
    assert model.choice.startswith(tuned["why"])
    assert model.precision in tuned["engine"]
    selected = select_model(ModelOptions(folder=STARTER, cache=tmp_path))
    _, engine, *_ = model_findings("model", selected, (), loads=False)
    assert engine.text.endswith(f": {tuned['why']}")


def test_failing_engine_writes_no_native_log_lines(start: Start, tmp_path: Path) -> None:
    """onnxruntime fails to run the int8 graph and would print an error. The log has JSON lines only."""
    folder = write_small_model(tmp_path / "model", broken_int8=True).folder
    server = start("--model", str(folder), "--log-level", "debug", RERANK_TUNE="auto", RERANK_TUNE_SECONDS="3600")
    assert server.popen.stderr is not None
    results = next(line for line in map(json.loads, server.popen.stderr) if line["event"] == "tuning results")
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert [line["event"] for line in server.log()][-1] == "stopped"
    assert "out of data bounds" in results["why"]


def test_tune_explains_without_measuring(tmp_path: Path) -> None:
    """`tune --explain` shows all engines, why some do not work, the remembered result and the choice of `serve`."""
    done = subprocess.run(
        command("tune", "--explain"), capture_output=True, text=True, env=environment(RERANK_CACHE=str(tmp_path))
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"cpu fp32 +yes", done.stdout)
    assert re.search(r"cuda fp16 +no ", done.stdout)
    assert "saved tuning: none" in done.stdout
    assert "rerank serve` starts with cpu fp32: exact, and not tuned on this machine yet" in done.stdout
    assert not list(tmp_path.iterdir())


def test_shutdown_ends_tuning(start: Start, tmp_path: Path) -> None:
    """The server does not wait for it."""
    server = start(RERANK_TUNE="auto", RERANK_CACHE=str(tmp_path))
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not list(tmp_path.glob("tuning/*"))


def test_open_stream_is_answered_after_sigterm(start: Start, small_folder: Path) -> None:
    """The server is not ready but live, refuses new calls, answers the open stream, and exits with 0."""
    server = start("--model", str(small_folder))
    parts: queue.SimpleQueue[pb.RerankStreamRequest | None] = queue.SimpleQueue()
    with grpc.insecure_channel(server.grpc) as channel:
        stub, health = pb_grpc.RerankStub(channel), health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="rerank.v1.Rerank"))
        assert next(watch).status == SERVING
        header = pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_scores=True)
        parts.put(pb.RerankStreamRequest(header=header))
        parts.put(_chunk("1"))
        stream = stub.RerankStream(iter(parts.get, None))
        assert [score.index for score in next(stream).scores.scores] == [0]

        server.popen.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        live = health.Check(health_pb2.HealthCheckRequest(service="live"))
        assert live.status == SERVING
        assert get(f"{server.rest}/health/ready").status_code == 503
        refused = post(f"{server.rest}/v2/rerank", json={"query": "0", "documents": ["1"]})
        assert refused.status_code == 503
        with pytest.raises(grpc.RpcError) as caught:
            stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text="1")]))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        parts.put(_chunk("7"))
        parts.put(None)
        responses = list(stream)
        watch.cancel()
    assert [(result.index, result.logit) for result in responses[-1].ranking.results] == [(1, 7.0), (0, 1.0)]
    assert server.ended() == 0
    assert [line["event"] for line in server.log()][-1] == "stopped"


def test_slowly_read_response_is_completed_after_sigterm(start: Start, small_folder: Path) -> None:
    """The client starts to read a ranking of 20 MB after the server drains."""
    server = start("--model", str(small_folder))
    with grpc.insecure_channel(server.grpc) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        request = pb.RerankRequest(query="0", return_documents=True, too_long=pb.TOO_LONG_CUT)
        documents = [pb.Document(text=f"{at % 100} {at // 100} " + "1 " * 5000) for at in range(2000)]
        chunks = [pb.DocumentChunk(documents=documents[at : at + 100]) for at in range(0, 2000, 100)]
        parts = [pb.RerankStreamRequest(header=pb.RerankHeader(request=request))]
        parts += [pb.RerankStreamRequest(documents=chunk) for chunk in chunks]
        with grpc.insecure_channel(server.grpc, [("grpc.use_local_subchannel_pool", 1)]) as slow:
            stream = pb_grpc.RerankStub(slow).RerankStream(iter(parts))
            stream.initial_metadata()  # the first part of the ranking is under way
            server.popen.send_signal(signal.SIGTERM)
            assert next(watch).status == NOT_SERVING
            results = [result for response in stream for result in response.ranking.results]
        watch.cancel()
    assert len(results) == 2000
    assert server.ended() == 0


def test_second_signal_ends_the_grace_period_of_an_incomplete_request(start: Start, small_folder: Path) -> None:
    """Otherwise a stalled upload delays shutdown for the whole grace period."""
    server = start("--model", str(small_folder), RERANK_GRACE="600")
    port = int(server.rest.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as upload, grpc.insecure_channel(server.grpc) as channel:
        upload.sendall(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert get(f"{server.rest}/health/live").status_code == 200
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        server.popen.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        watch.cancel()
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def test_example_is_shown_with_an_api_key(start: Start, small_folder: Path) -> None:
    """If the example fails, the server serves nevertheless."""
    for options, words in (
        ({"RERANK_API_KEYS": "sesame"}, "relevance"),
        ({"RERANK_MAX_DOCUMENTS": "2"}, "could not be ranked"),
    ):
        server = start("--model", str(small_folder), "--example", **options)
        assert words in server.shown("Ctrl-C")
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def _chunk(*texts: str) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(text=text) for text in texts]))


def _held_open(server: Process) -> tuple[grpc.Channel, Iterator[pb.RerankStreamResponse]]:
    """Open a stream that the client never ends."""
    parts: queue.SimpleQueue[pb.RerankStreamRequest] = queue.SimpleQueue()
    header = pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_scores=True)
    parts.put(pb.RerankStreamRequest(header=header))
    parts.put(_chunk("1"))
    channel = grpc.insecure_channel(server.grpc)
    stream = pb_grpc.RerankStub(channel).RerankStream(iter(parts.get, None))
    next(stream)
    return channel, stream


@pytest.mark.parametrize(("grace", "signals"), [("0.1", 1), ("60", 2)])
def test_grace_period_ends_by_time_or_by_a_second_signal(
    start: Start, small_folder: Path, grace: str, signals: int
) -> None:
    """An endless call is cancelled, its client gets an error, and the exit status is 0."""
    server = start("--model", str(small_folder), RERANK_GRACE=grace)
    channel, stream = _held_open(server)
    health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(health).status == SERVING
    server.popen.send_signal(signal.SIGTERM)
    assert next(health).status == NOT_SERVING
    if signals == 2:
        server.popen.send_signal(signal.SIGINT)
    with pytest.raises(grpc.RpcError):
        list(stream)
    assert server.ended() == 0
    channel.close()


def test_request_content_is_not_logged_and_a_misspelt_variable_is(start: Start, small_folder: Path) -> None:
    """Documents never reach the log. RERANK_API_KEY instead of RERANK_API_KEYS leaves the server open."""
    server = start("--model", str(small_folder), RERANK_API_KEY="sesame")
    post(f"{server.rest}/v2/rerank", json={"query": ["Jane Doe"], "documents": ["Jane Doe"]})
    post(f"{server.rest}/v2/rerank", json={"documents": ["Jane Doe"]})
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    log = server.log()
    assert [line["reason"] for line in log if line["event"] == "request finished"] == ["invalid", "missing"]
    assert "Jane" not in str(log)
    warnings = {line["name"]: line["did_you_mean"] for line in server.before if line["event"] == "unknown variable"}
    assert warnings == {"RERANK_API_KEY": "RERANK_API_KEYS"}
    assert "sesame" not in str(server.before)


def test_keys_of_a_file_and_a_score_cache(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """The log names the key of a refused caller, never the key itself. Scored pairs come from the cache."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {name: search, key: sesame, weight: 3}\n")
    server = start(
        "--model", str(small_folder), "--score-cache-bytes", "1Mi", RERANK_API_KEYS_FILE=str(keys), RERANK_API_KEYS="b"
    )
    for key in ("sesame", "b"):
        with RerankClient(server.grpc, api_key=key) as client:
            usage = client.rerank("0", ["1", "2"]).usage
            assert (usage.pairs, usage.shared_pairs) == ((2, 0) if key == "sesame" else (0, 2))
    for key, status in (("sesame", 400), ("wrong", 401)):
        headers = {"authorization": f"Bearer {key}"}
        assert post(f"{server.rest}/v2/rerank", json={"query": "0"}, headers=headers).status_code == status
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    log = server.log()
    finished = [line for line in log if line["event"] == "request finished"]
    assert [line["key"] for line in finished if line["status"] in (400, 401)] == ["search", ""]
    assert "sesame" not in str(log)


def test_wrong_api_keys_file_ends_the_start(small_folder: Path, tmp_path: Path) -> None:
    """Otherwise the server would be open. The message has the place and not the key."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {name: search, key: sesame, weight: much}\n")
    message = _failing("serve", "--model", str(small_folder), "--api-keys-file", str(keys))
    assert "entry 1, line 1: weight" in message
    assert "sesame" not in message


@pytest.mark.parametrize(
    ("options", "keys", "warned"),
    [
        ({"RERANK_HOST": "0.0.0.0"}, "off", True),
        ({"RERANK_HOST": "0.0.0.0", "RERANK_API_KEYS": "sesame"}, "on", False),
        ({}, "off", False),
    ],
)
def test_log_shows_the_cores_and_whether_keys_are_required(
    start: Start, small_folder: Path, options: dict[str, str], keys: str, warned: bool
) -> None:
    """It warns if other machines can connect without a key. Variables of client commands are valid."""
    server = start("--model", str(small_folder), "--lanes", "3", RERANK_SERVER="127.0.0.1:1", **options)
    assert server.ready["keys"] == keys
    assert server.ready["cores"] == usable_cores()
    assert server.ready["lanes"] == 3
    warnings = [(line["event"], line["host"]) for line in server.before if line["level"] == "warning"]
    assert warnings == ([("no API keys", "0.0.0.0")] if warned else [])


def test_ctrl_c_ends_an_idle_server_with_status_0(start: Start, small_folder: Path) -> None:
    """SIGINT has the effect of SIGTERM. With --core-dumps, the limit of core dumps stays as it is."""
    server = start("--model", str(small_folder), "--core-dumps")
    assert _core_limit(server.popen.pid) == _core_limit(os.getpid())
    server.popen.send_signal(signal.SIGINT)
    assert server.ended() == 0


def test_crash_shows_the_stack_and_no_text(start: Start, small_folder: Path) -> None:
    """Nothing is written to a core dump, on any system."""
    server = start("--model", str(small_folder))
    assert _core_limit(server.popen.pid) == "0"
    assert Path(f"/proc/{server.popen.pid}/coredump_filter").read_text() == "00000000\n"
    post(f"{server.rest}/v2/rerank", json={"query": "Jane Doe", "documents": ["Jane Doe"]})
    server.popen.send_signal(signal.SIGABRT)
    assert server.ended() == -signal.SIGABRT
    assert server.popen.stderr is not None
    logged = server.popen.stderr.read()
    assert "Fatal Python error: Aborted" in logged
    assert "Jane" not in logged


def _core_limit(pid: int) -> str:
    """Return the soft limit of core dumps of a process."""
    (line,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core"))
    return line.split()[4]


def test_signal_after_the_end_keeps_status_0(start: Start, small_folder: Path) -> None:
    """Native libraries take a moment to end. The second Ctrl-C of an impatient person arrives in that time."""
    server = start("--model", str(small_folder))
    server.popen.send_signal(signal.SIGTERM)
    assert server.popen.stderr is not None
    read_until(server.popen.stderr, '"stopped"')
    while server.popen.poll() is None:
        server.popen.send_signal(signal.SIGTERM)
        server.popen.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert server.ended() == 0


def test_ctrl_c_during_the_first_imports_prints_no_traceback() -> None:
    """The exit status is 130, the convention of shells."""
    interrupt = "import sys, rerank_service.__main__ as m; m.commands = lambda _: signal.raise_signal(signal.SIGINT); "
    done = subprocess.run(
        [sys.executable, "-c", f"import signal; {interrupt} sys.exit(m.main())"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (130, "")


def _failing(*arguments: str, **variables: str) -> str:
    """Run a command that must fail, and return its message, which has no traceback."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(**variables), timeout=60)
    assert done.returncode in (1, 2), done.stdout + done.stderr  # 2: a wrong setting
    assert "Traceback" not in done.stderr
    assert "running task" not in done.stderr  # uvicorn may report tasks that do not exist
    return done.stderr


def test_start_names_all_ports_in_use() -> None:
    """In one line, so that the next start is not in vain, too."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        rest, grpc = (str(taken.getsockname()[1]) for taken in (one, other))
        line = _failing("serve", "--rest-port", rest, "--grpc-port", grpc)
    assert line.count("\n") == 1
    assert f"--rest-port or RERANK_REST_PORT is {rest}: " in line
    assert f"--grpc-port or RERANK_GRPC_PORT is {grpc}: " in line


def test_failed_start_gives_its_reason_in_one_line() -> None:
    """An address in use, a missing file, and a wrong setting. test_mistakes.py has many more."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert _failing("serve", "--rest-port", port, "--grpc-port", "0") == (
            f"rerank: --rest-port or RERANK_REST_PORT is {port}: the server cannot listen on 127.0.0.1:{port}: "
            "Address already in use; give another port, or end the process that uses it\n"
        )
    assert f"127.0.0.1:{port} (--server): UNAVAILABLE" in _failing("rank", "a", "b", "--server", f"127.0.0.1:{port}")
    assert _failing("eval", "none.jsonl") == "rerank: none.jsonl: No such file or directory\n"
    assert "lanes" in _failing("tune", RERANK_LANES="0")


def test_wrong_models_file_ends_the_start(tmp_path: Path) -> None:
    """The line has the place, the value and the bound."""
    (tmp_path / "models.yaml").write_text("- bundle: .\n  name: a\n  weight: 0")
    message = _failing("serve", "--models", str(tmp_path / "models.yaml"))
    assert message == f"rerank: --models {tmp_path}/models.yaml: line 3: weight is 0: give a number from 0.01 to 100\n"


def test_rank_and_models_use_a_running_server(start: Start, small_folder: Path) -> None:
    """`rerank rank` and `rerank models` against a running server with a key, over both protocols."""
    server = start("--model", str(small_folder), "--aliases", "also", RERANK_API_KEYS="sesame")
    port = server.grpc.rpartition(":")[2]
    _check_commands(RERANK_SERVER=f"grpc://{server.grpc}")
    _check_commands(RERANK_SERVER=server.rest)
    _check_server_is_found(_runner(RERANK_GRPC_PORT=port))
    with RerankClient(server.grpc) as stranger, pytest.raises(grpc.RpcError):
        stranger.rerank("0", ["1"])


def _runner(**server: str) -> Callable[..., str]:
    """Return a function that runs a command with the address in variables, and returns its output."""
    variables = environment(RERANK_API_KEY="sesame", **server)

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, env=variables, input=stdin, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _check_server_is_found(run: Callable[..., str]) -> None:
    assert "small" in run("models")
    assert re.search(r"1 +0\.\d+ +1 +5", run("rank", "0", "3", "5", "--served-model", "also"))


def _check_commands(**server: str) -> None:
    run = _runner(**server)
    _check_server_is_found(run)
    assert run("rank", "0", "--file", "-", "--json", "--top-n", "1", stdin="3\n5\n").count("\n") == 1
    assert run("rank", "0", "--file", "-", "--json", "--top-n", "0", stdin="3\n5\n").count("\n") == 2  # 0 means all
    lines = run("rank", "0", "--file", "-", "--json", stdin="3\u2028\x0c4\r\n5\n").strip().split("\n")
    assert [json.loads(line)["document"] for line in lines] == ["3\u2028\x0c4", "5"]
    long = json.loads(run("rank", "0", " ".join(["1"] * 40), "--json"))
    assert long["best_window"] == {"start": 0, "end": 44}


def test_help_shows_the_usage() -> None:
    """For the command and each subcommand."""
    for arguments in ((), ("serve",), ("rank",), ("models",), ("bench",), ("export",)):
        done = subprocess.run(command(*arguments, "--help"), capture_output=True, text=True, env=environment())
        assert done.returncode == 0
        assert "sage:" in done.stdout
