"""The server under test, started as a user does, and the checks that it is whole."""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from bench.servers import OurServer, our_server
from support.process import environment
from torture.resources import Sample, sample

KNOWN = {"query": "1", "documents": ["1 2", "30 4", "5"]}
"""A request whose answer must be the same before and after."""
_BAD_LEVELS = ("error", "critical")
_QUIET_SECONDS = 30.0
_POLL_SECONDS = 0.1
_HTTP_SECONDS = 60.0
_MAX_REJECTIONS = 30
_KEPT_LINE = 2000


class ServerEnded(Exception):
    """The server has ended, although nobody stopped it."""


class Log:
    """The log of the server. It is read once, as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._rest = b""

    def problems(self) -> list[str]:
        """Return the new lines that a healthy server never writes: errors and tracebacks."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [line.decode(errors="replace")[:_KEPT_LINE] for line in lines if _is_bad(line)]


def _is_bad(line: bytes) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return bool(line.strip())  # what the interpreter or a library writes by itself
    return event.get("level") in _BAD_LEVELS or "exception" in event or b"Traceback" in line


@dataclass(frozen=True, slots=True)
class Server:
    """A started server."""

    process: OurServer
    log: Log
    ready: dict[str, Any]
    """The log event `ready`, with all addresses."""
    known: list[tuple[int, float]] = field(default_factory=list)
    """Index and score of each result of the known request."""

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self.process.process.popen.pid

    @property
    def grpc(self) -> str:
        """HOST:PORT."""
        return self.process.grpc

    @property
    def rest(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.process.rest)
        assert url.port is not None
        return url.host, url.port

    def alive(self) -> None:
        """Check that the process runs.

        Raises:
            ServerEnded: it has ended.
        """
        status = self.process.process.popen.poll()
        if status is not None:
            raise ServerEnded(f"the server ended with status {status}: {self.process.process.last_words()}")

    async def problems(self) -> list[str]:
        """Return the faults of the server: not ready, another answer to the known request, errors in its log.

        Raises:
            ServerEnded: it has ended.
        """
        self.alive()
        found = [f"log of the server: {line}" for line in self.log.problems()]
        try:
            answer = await ask(self.process.rest)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.alive()
            return [*found, f"the known request failed: {error!r}"]
        if not same_ranking(answer, self.known):
            found.append(f"the known request has another answer: {answer}, before {self.known}")
        return found


def same_ranking(answer: Sequence[tuple[int, float]], known: Sequence[tuple[int, float]]) -> bool:
    """Return whether two rankings are equal. Other batches may round the last digits in another way."""
    return [index for index, _ in answer] == [index for index, _ in known] and all(
        math.isclose(score, before, rel_tol=1e-4, abs_tol=1e-6)
        for (_, score), (_, before) in zip(answer, known, strict=True)
    )


async def ask(url: str) -> list[tuple[int, float]]:
    """Check that the server is ready, and return index and score of each result of the known request. While the server
    protects requests that are close to their deadline, it rejects this one: send it again then, as clients do.

    Raises:
        httpx.HTTPError: it is not ready, or the request failed.
    """
    async with httpx.AsyncClient(base_url=url, timeout=_HTTP_SECONDS, trust_env=False) as http:
        (await http.get("/health/ready")).raise_for_status()
        response = await _sent_until_accepted(http)
        return [(result["index"], result["relevance_score"]) for result in response.json()["results"]]


async def _sent_until_accepted(http: httpx.AsyncClient) -> httpx.Response:
    for _ in range(_MAX_REJECTIONS):
        response = await http.post("/v1/rerank", json=KNOWN)
        if response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            break
        await asyncio.sleep(float(response.headers["retry-after"]))
    return response.raise_for_status()


@contextmanager
def serving(log: Path, model: Path | None, flags: Sequence[str]) -> Iterator[Server]:
    """Serve a model, on loopback and on free ports, without settings of this machine. None: the bundled model."""
    clean = environment()
    variables = {name: clean.get(name) for name in {**os.environ, **clean}}
    with our_server(log, model, flags, variables) as process:
        events = (json.loads(line) for line in log.read_text().splitlines())
        ready = next(event for event in events if event["event"] == "ready")
        yield Server(process, Log(log), ready)


@asynccontextmanager
async def started_server(log: Path, model: Path | None, flags: Sequence[str]) -> AsyncIterator[Server]:
    """Serve a model like `serving`, and keep its answer to the known request."""
    with serving(log, model, flags) as server:
        yield replace(server, known=await ask(server.process.rest))


async def quiet(server: Server, at: float, before: Sample) -> Sample:
    """Return the resources of the server when it has closed all connections of the part: it has no more file
    descriptors than `before`. After 30 s, return them as they are."""
    clock = asyncio.get_running_loop().time
    ends = clock() + _QUIET_SECONDS
    while (now := sample(server.pid, at)).descriptors > before.descriptors and clock() < ends:
        await asyncio.sleep(_POLL_SECONDS)
    return now
