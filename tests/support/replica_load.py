"""Load on replicas in a process of its own, with clients that retry and clients that do not.

The process gets clients as arguments, `NAME=KIND=ADDRESS`. It calls until its standard input ends, and prints each
call as a JSON line.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cohere
import grpc
import httpx
import requests
from cohere.core.request_options import RequestOptions
from urllib3.util.retry import Retry

from rerank.client import RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from support.process import environment

QUERY = "capital of France"
DOCUMENTS = [f"Paris is the capital of France, and its number {at} is {at * 7}." for at in range(100)]
BROKEN = "broken"
"""Name of the model that `rest-broken` asks for."""
_TIMEOUT = 60.0

RETRY = Retry(
    total=4,
    backoff_factor=0.2,
    status_forcelist=(429, 502, 503),
    allowed_methods=("POST",),  # POST is not retried by default
    raise_on_status=False,
)
"""Retry policy of docs/replicas.md."""


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call."""

    client: str
    """Name of the client."""
    worker: int
    model: str
    """Model name of the response: it names the replica. Empty if the call failed."""
    error: str
    """Reason of a failed call, or empty."""
    seconds: float


class Load:
    """The calls of a running process."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen
        self.calls: list[Call] = []
        """All calls that were read."""

    def read(self) -> Call | None:
        """Wait for the next call, and return it. None: the process has ended."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            return None
        self.calls.append(Call(**json.loads(line)))
        return self.calls[-1]

    def read_until(self, clients: Mapping[str, int], done: Callable[[Call], bool]) -> None:
        """Read until each client has as many calls as given for which `done` is true."""
        missing = dict(clients)
        while any(count > 0 for count in missing.values()):
            call = self.read()
            assert call is not None, "the load has ended"
            if done(call):
                missing[call.client] -= 1

    def stop(self) -> None:
        """End the load, and read its last calls."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        while self.read() is not None:
            pass

    def errors(self, client: str) -> list[str]:
        """Return the errors of a client."""
        return [call.error for call in self.calls if call.client == client and call.error]

    def lost_per_worker(self, client: str) -> int:
        """Return the largest number of failed calls of one worker of a client."""
        lost = Counter(call.worker for call in self.calls if call.client == client and call.error)
        return max(lost.values(), default=0)


@contextmanager
def load(
    clients: Mapping[str, str], prefix: Sequence[str], *, workers: int, documents: int = 20, pause: float = 0.0
) -> Iterator[Load]:
    """Run a load while the block runs.

    Args:
        clients: `KIND=ADDRESS` of each client, by its name.
        prefix: command that runs the load, such as one that enters a namespace.
        workers: number of calls at a time of each client.
        documents: number of documents of a call, up to 100.
        pause: time between two calls of a worker, in seconds.
    """
    given = [f"{name}={client}" for name, client in clients.items()]
    run = [*prefix, sys.executable, "-m", "support.replica_load", str(workers), str(documents), str(pause), *given]
    variables = environment(PYTHONPATH=str(Path(__file__).parents[1]), GRPC_VERBOSITY="NONE")
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as popen:
        try:
            yield Load(popen)
        finally:
            popen.kill()


Caller = Callable[[Sequence[str]], str]
"""Ranks documents, and returns the model name of the response."""


def _grpc_plain(address: str) -> Caller:
    """Without retries. The channel connects again after 100 ms, as clients for replicas should."""
    options = [("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100)]
    stub = pb_grpc.RerankStub(grpc.insecure_channel(address, [*options, ("grpc.use_local_subchannel_pool", 1)]))

    def call(documents: Sequence[str]) -> str:
        request = pb.RerankRequest(query=QUERY, documents=[pb.Document(text=text) for text in documents])
        return stub.Rerank(request, timeout=_TIMEOUT, wait_for_ready=False).model

    return call


def _grpc(address: str) -> Caller:
    client = RerankClient(address, timeout=_TIMEOUT, options=[("grpc.use_local_subchannel_pool", 1)])
    return lambda documents: client.rerank(QUERY, documents).model


def _rest(address: str, retry: Retry | None, model: str = "default") -> Caller:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry or 0))

    def call(documents: Sequence[str]) -> str:
        body = {"model": model, "query": QUERY, "documents": list(documents)}
        response = session.post(f"{address}/v1/rerank", json=body, timeout=_TIMEOUT)
        response.raise_for_status()
        return str(response.json()["model"])

    return call


def _cohere(address: str) -> Caller:
    """The official SDK, with the options of docs/replicas.md."""
    client = cohere.ClientV2(api_key="any", base_url=address)
    options: RequestOptions = {"max_retries": 4, "retry_remote_protocol_errors": True}

    def call(documents: Sequence[str]) -> str:
        client.rerank(model="default", query=QUERY, documents=list(documents), request_options=options)
        return "unknown"

    return call


_KINDS: Mapping[str, Callable[[str], Caller]] = {
    "grpc": _grpc,
    "grpc-plain": _grpc_plain,
    "rest": partial(_rest, retry=RETRY),
    "rest-plain": partial(_rest, retry=None),
    "rest-broken": partial(_rest, retry=None, model=BROKEN),
    "rest-cohere": _cohere,
}


@dataclass(frozen=True, slots=True)
class _Client:
    name: str
    kind: str
    address: str
    documents: int
    pause: float


def _work(client: _Client, worker: int, caller: Caller, stop: threading.Event) -> None:
    while not stop.wait(client.pause):
        model, error, began = "", "", time.monotonic()
        try:
            model = caller(DOCUMENTS[: client.documents])
        except grpc.RpcError as failed:
            error = f"{failed.code()}: {failed.details()}"
        except (requests.RequestException, cohere.core.ApiError, httpx.HTTPError) as failed:
            error = repr(failed)
        call = Call(client.name, worker, model, error, time.monotonic() - began)
        print(json.dumps(asdict(call)) + "\n", end="", flush=True)


def _client(text: str, documents: int, pause: float) -> _Client:
    name, kind, address = text.split("=", 2)
    return _Client(name, kind, address, documents, pause)


def _main(workers: int, clients: Sequence[_Client]) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=_work, args=(client, worker, _KINDS[client.kind](client.address), stop))
        for client in clients
        for worker in range(workers)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    given_workers, given_documents, given_pause, *given_clients = sys.argv[1:]
    _main(int(given_workers), [_client(text, int(given_documents), float(given_pause)) for text in given_clients])
