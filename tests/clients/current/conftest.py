"""Fixtures of the current clients: gRPC stubs as in another repository, and a long call beside the other tests."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clients.cases import DOCUMENTS, QUERY

_PROTO = Path(__file__).parents[3] / "proto"
_LONG_CALL = "long_call"
_LONG_SECONDS = 55.0
_PINGS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Generate the modules."""
    from grpc_tools import protoc

    folder = tmp_path_factory.mktemp("stubs")
    google = Path(protoc.__file__).parent / "_proto"
    out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["", f"-I{_PROTO}", f"-I{google}", *out, "rerank/v1/rerank.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        return SimpleNamespace(
            messages=importlib.import_module("rerank.v1.rerank_pb2"),
            services=importlib.import_module("rerank.v1.rerank_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def long_call(stubs: Any) -> Iterator[Future[list[Any]]]:
    """Start a call of 55 s in a thread, with a ping every 10 s. Yield its responses to come."""
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(_call_slowly, stubs, stopped)
        stopped.set()


@pytest.fixture(scope="session", autouse=True)
def begun_long_call(request: pytest.FixtureRequest) -> None:
    """Start the long call at the first test, if a test needs it, so that it lasts while the others run."""
    if any(_LONG_CALL in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)):
        request.getfixturevalue(_LONG_CALL)


def _call_slowly(stubs: Any, stopped: threading.Event) -> list[Any]:
    import grpc

    messages = stubs.messages

    def parts() -> Iterator[Any]:
        yield messages.RerankStreamRequest(header=messages.RerankHeader(request=messages.RerankRequest(query=QUERY)))
        stopped.wait(_LONG_SECONDS)
        documents = [messages.Document(text=text) for text in DOCUMENTS]
        yield messages.RerankStreamRequest(documents=messages.DocumentChunk(documents=documents))

    with grpc.insecure_channel(os.environ["CLIENTS_GRPC"], _PINGS) as channel:
        metadata = [("authorization", f"Bearer {os.environ['CLIENTS_KEY']}")]
        return list(stubs.services.RerankStub(channel).RerankStream(parts(), metadata=metadata, timeout=110))
