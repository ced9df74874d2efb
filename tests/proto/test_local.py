"""Clients of a model in the process of the test, compared with those of a server."""

import asyncio
import gc
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import Cancelled, RerankError
from rerank.v1 import rerank_pb2 as pb
from rerank_service.models.bundle import Bundle
from support.limits import grpc_options, request_limits
from support.process import environment
from support.running import Served, running, served
from support.small import BOOM

pytestmark = pytest.mark.usefixtures("unconfigured_log")

DOCUMENTS = [f"{number % 100} {number // 7}" for number in range(300)]


@pytest.fixture(scope="module")
def local(small_model: Bundle) -> Iterator[RerankClient]:
    """Yield a local client of the small model."""
    with RerankClient.local(small_model.folder, max_document_chars=5000) as client:
        yield client


@pytest.fixture
async def edges(small_model: Bundle) -> AsyncIterator[Served]:
    """Yield a server of the same model, with the same limits."""
    limits, message_bytes = request_limits(max_document_chars=5000), grpc_options().max_message_bytes
    async with running(small_model, limits=limits) as core, served(core, max_message_bytes=message_bytes) as parts:
        yield parts


def _without_id_and_time(response: pb.RerankResponse) -> pb.RerankResponse:
    for field in ("id", "timing"):
        response.ClearField(field)
    response.usage.ClearField("padded_tokens")  # depends on the batches
    return response


async def test_rankings_are_those_of_a_server(edges: Served, local: RerankClient) -> None:
    """Unary, as a stream, and as an iterator; with options and objects."""
    objects = [pb.Document(json='{"a": "1", "b": "2"}', id="x"), pb.Document(text="3 " * 600, id="y")]
    for documents, options in (
        (DOCUMENTS, {}),
        (DOCUMENTS, {"top_n": 3, "return_documents": True, "score_type": pb.SCORE_TYPE_RAW}),
        (objects, {"rank_fields": ["b"], "max_tokens_per_doc": 50, "model": "small"}),
    ):
        for method in ("rerank", "rerank_stream"):
            by_server = await getattr(edges.client, method)("0", documents, **options)
            in_process = await asyncio.to_thread(getattr(local, method), "0", documents, **options)
            assert _without_id_and_time(in_process) == _without_id_and_time(by_server)
    async with edges.client.scores("0", DOCUMENTS) as scores:
        by_server = {score.index: (score.relevance_score, score.logit) async for score in scores}
    in_process = {score.index: (score.relevance_score, score.logit) for score in local.scores("0", DOCUMENTS)}
    assert in_process == by_server


async def test_models_are_those_of_a_server(edges: Served, local: RerankClient) -> None:
    """With their limits."""
    (by_server,), (in_process,) = await edges.client.models(), local.models()
    for model in (by_server, in_process):
        for field in ("choice", "memory_bytes"):  # how the engine was chosen, and measured
            model.ClearField(field)
    assert in_process == by_server


@pytest.mark.parametrize(
    ("query", "documents", "options"),
    [
        ("", ["1"], {}),
        ("0", [], {}),
        ("0", ["1"], {"top_n": -1}),
        ("0", ["1"], {"model": "other"}),
        ("0", ["1", "x" * 5001], {}),
        ("0", ["1", f"2 {BOOM}"], {}),
        ("0", [pb.Document(json="[")], {}),
        ("0", ["1"], {"instruction": "find"}),
        ("0", ["1" * 20_000_000] * 2, {}),
    ],
    ids=["query", "documents", "top_n", "model", "long", "boom", "json", "instruction", "message"],
)
async def test_errors_are_those_of_a_server(
    edges: Served, local: RerankClient, query: str, documents: list[Any], options: dict[str, Any]
) -> None:
    """Class, message, field and reason."""
    with pytest.raises(RerankError) as by_server:
        await edges.client.rerank(query, documents, **options)
    with pytest.raises(RerankError) as in_process:
        local.rerank(query, documents, **options)
    assert type(in_process.value) is type(by_server.value)
    for name in ("message", "field", "reason"):
        assert getattr(in_process.value, name) == getattr(by_server.value, name)


async def test_deadlines_hold(small_model: Bundle) -> None:
    """A request that cannot be finished in time is rejected, or ends then, as by a server."""
    with RerankClient.local(small_model.folder, timeout=0.05) as client, pytest.raises(RerankError) as caught:
        client.rerank("0", ["1 " * 20] * 10_000)
    assert caught.value.status.name == "DEADLINE_EXCEEDED"


async def test_clients_of_both_kinds_run_at_once(
    small_model: Bundle, local: RerankClient, caplog: pytest.LogCaptureFixture
) -> None:
    """In a running event loop, as in a notebook. No event loop logs an error: gRPC is used by four of them."""
    async with (
        await AsyncRerankClient.local(small_model.folder) as first,
        await AsyncRerankClient.local(small_model.folder) as second,
    ):
        with RerankClient.local(small_model.folder) as third:
            for _ in range(20):
                ranked = [client.rerank("0", ["1", "2"]) for client in (first, second) for _ in range(5)]
                responses = [local.rerank("0", ["1", "2"]), third.rerank("0", ["1", "2"])]
                responses += await asyncio.gather(*ranked)
                assert {response.results[0].index for response in responses} == {1}
    assert caplog.records == []


def _state() -> tuple[set[int | None], int, set[str]]:
    """Return the threads, the number of open descriptors, and the sockets."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    sockets = {str(path) for path in Path(tempfile.gettempdir()).glob("rerank-*/grpc.sock")}
    return {thread.ident for thread in threading.enumerate()}, descriptors, sockets


def _close(client: RerankClient) -> None:
    client.close()
    client.close()


def _forget(client: RerankClient) -> None:
    """Only the garbage collector ends the client, and the server later."""


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let sockets be in a folder of this test: other processes have some in that of the system. `tmp_path` would be too
    long for the address of a socket."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("end", [_close, _forget])
async def test_nothing_is_left(small_model: Bundle, local: RerankClient, end: Callable[[RerankClient], None]) -> None:
    """No thread, no descriptor, no file. `local` keeps the parts of gRPC that live as long as any client."""
    local.models()

    def use(end: Callable[[RerankClient], None]) -> None:
        client = RerankClient.local(small_model.folder)
        client.rerank("0", ["1"])
        end(client)

    use(_close)
    before = _state()
    use(end)
    gc.collect()
    while _state() != before:
        await asyncio.sleep(0.01)


async def test_a_closed_client_is_an_error(small_model: Bundle) -> None:
    """The same error as for a client of a server."""
    client = RerankClient.local(small_model.folder)
    client.close()
    with pytest.raises(Cancelled, match="the client is closed"):
        client.models()


def test_scores_keep_their_client(small_model: Bundle) -> None:
    """A stream of a client that nothing else refers to: the server stops after the last score."""
    scores = RerankClient.local(small_model.folder).scores("0", DOCUMENTS)
    gc.collect()
    assert len(list(scores)) == len(DOCUMENTS)


async def test_asynchronous_scores_keep_their_client(small_model: Bundle) -> None:
    """The scores of a blocking client do, too."""
    scores = (await AsyncRerankClient.local(small_model.folder)).scores("0", DOCUMENTS)
    gc.collect()
    assert len([score async for score in scores]) == len(DOCUMENTS)


def test_the_end_of_a_forked_child_leaves_the_server(small_model: Bundle) -> None:
    """Its folder and its socket belong to the parent."""
    code = (
        "import os, sys\n"
        "from rerank.client import RerankClient\n"
        "client = RerankClient.local(sys.argv[1])\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(client.rerank('0', ['1', '2']).results[0].index)\n"  # the first call connects to the socket
    )
    run = [sys.executable, "-c", code, str(small_model.folder)]
    ran = subprocess.run(run, capture_output=True, text=True, env=environment(), timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr


async def test_a_cancelled_start_stops_the_server(small_model: Bundle) -> None:
    """When its model is loaded."""
    names = {thread.ident for thread in threading.enumerate()}
    starting = asyncio.create_task(AsyncRerankClient.local(small_model.folder))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    while [thread for thread in threading.enumerate() if thread.name == "rerank-local" and thread.ident not in names]:
        await asyncio.sleep(0.01)


def test_a_cancelled_start_stops_the_server_after_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop ends while the model loads. Nobody would have the server."""
    begun, may_end, stopped = threading.Event(), threading.Event(), threading.Event()

    class LoadedServer:
        target = "unused"

        def stop(self) -> None:
            stopped.set()

    def load(*_arguments: Any) -> LoadedServer:
        begun.set()
        may_end.wait()
        return LoadedServer()

    async def cancelled() -> None:
        starting = asyncio.create_task(AsyncRerankClient.local())
        await asyncio.to_thread(begun.wait)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        may_end.set()

    monkeypatch.setattr("rerank._local.start_server", load)
    asyncio.run(cancelled())
    assert stopped.is_set()


async def test_wrong_arguments_are_errors_before_the_load() -> None:
    """The folder is not looked at."""
    for wrong in ({"timeout": 0}, {"retries": -1}):
        with pytest.raises(ValueError, match=r"timeout|retries"):
            RerankClient.local("no such folder", **wrong)
        with pytest.raises(ValueError, match=r"timeout|retries"):
            await AsyncRerankClient.local("no such folder", **wrong)


def test_a_process_ends_without_close(small_model: Bundle) -> None:
    """With status 0 and without a message: for a client that is in use until the end, and one of asyncio."""
    code = (
        "import asyncio, sys\n"
        "from rerank.client import AsyncRerankClient, RerankClient\n"
        "client = RerankClient.local(sys.argv[1])\n"
        "print(client.rerank('0', ['1', '2']).results[0].index)\n"
        "scores = client.scores('q', (str(number) for number in range(10**9)))\n"
        "next(scores)\n"
        "async def main():\n"
        "    client = await AsyncRerankClient.local(sys.argv[1])\n"
        "    print(len(await client.models()))\n"
        "asyncio.run(main())\n"
    )
    run = [sys.executable, "-c", code, str(small_model.folder)]
    ran = subprocess.run(run, capture_output=True, text=True, env=environment(), timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1\n1\n", "")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the command that installs them."""
    monkeypatch.setitem(sys.modules, "rerank_service.local_server", None)
    with pytest.raises(ImportError, match=r"^local\(\) needs the server, .* Install it: .*\[cpu\]'?$"):
        RerankClient.local()
