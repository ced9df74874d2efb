"""A server in a process of its own, whose callers send texts and keys that must not appear anywhere else.

Run as `python -m support.canary_run FORM LEVEL`: the log goes to stderr, and a JSON object with all else to stdout. The
settings are the defaults, with traces. Faults are put in by methods that raise an error with all their arguments.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from tei_client.stubs import tei_pb2_grpc as tei_grpc

from rerank.client import AsyncRerankClient
from rerank_service import wiring
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.request_observation import RequestObservation
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.metrics.core_state import core_state
from rerank_service.metrics.exposition import Metrics
from rerank_service.models.warm_up import short_pair
from rerank_service.observability.logs import configure_logging
from rerank_service.observability.unhandled_errors import log_unhandled_errors
from rerank_service.scheduling.batching import collate
from rerank_service.scheduling.caller import Caller
from rerank_service.settings import Settings
from support.canaries import NAMES, canaries
from support.http2 import START, headers
from support.limits import batch_limits
from support.otlp import grpc_receiver
from support.running import Running, Served, running, served
from support.small import write_small_model
from support.tei_calls import stream_request, unary_request

KEY, WRONG_KEY = "Jane-secret", "Jane-guess"
KEYS = Keys(known=[KnownKey(digest(KEY), Caller("search"))])
_BODY = {"query": "Jane", "documents": ["Jane", "1", {"Jane": "Jane"}], "highlights": 1}


class Callers:
    """Sends requests with texts that are secret, and after each one another request, whose response is kept."""

    def __init__(self, edges: Served) -> None:
        self._edges = edges
        self.sent = 0
        self.seen_by_others: list[str] = []

    async def post(self, body: Any, path: str = "/v2/rerank", **headers: str) -> httpx.Response:
        """Send a request over REST."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        sent = path.replace("{model:path}", "default")
        response = await self._edges.http.post(
            sent, content=content, headers={"authorization": f"Bearer {KEY}"} | headers
        )
        await self._other()
        return response

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Send a look-up."""
        response = await self._edges.http.get(path, headers={"authorization": f"Bearer {KEY}"} | headers)
        await self._other()
        return response

    async def call(self, *, key: str = KEY) -> None:
        """Make each call over gRPC, with valid and with invalid texts."""
        metadata = (("authorization", f"Bearer {key}"), ("jane", "Jane"))
        async with AsyncRerankClient(self._edges.address, api_key=key, retries=0) as client:
            for query, documents in (("Jane", ["Jane"]), ("", ["Jane"]), ("Jane " * 30_000, ["Jane"]), ("Jane", [])):
                with suppress(grpc.aio.AioRpcError):
                    await client.rerank(query, documents, highlights=1)
                with suppress(grpc.aio.AioRpcError):
                    await client.rerank_stream(query, documents)
                await self._other()
        async with grpc.aio.insecure_channel(self._edges.address) as connected:
            channel: Any = connected
            tei = tei_grpc.RerankStub(channel)
            rerank: Any = channel.unary_unary("/rerank.v1.Rerank/Rerank")
            unknown: Any = channel.unary_unary("/rerank.v1.Rerank/Unknown")
            calls: list[Any] = [
                tei.RerankStream(iter([stream_request("Jane", query="Jane")]), metadata=metadata),
                tei.Rerank(unary_request(["Jane"], query="Jane"), metadata=metadata),
                rerank(b"\x0a\x04Jane\xffJane", metadata=metadata),
                rerank(b"\x0a\x05Jan\xff\xfe", metadata=metadata),
                unknown(b"Jane", metadata=metadata),
            ]
            for call in calls:
                with suppress(grpc.aio.AioRpcError):
                    await call
                await self._other()
        await self._raw_call()

    async def _raw_call(self) -> None:
        """Make a call with a key that is not UTF-8, which no library sends. gRPC for Python would log it."""
        host, _, port = self._edges.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(START + headers(1, "/rerank.v1.Rerank/Rerank", more={"authorization": b"Bearer Jane\xff"}))
        while b"grpc-status" not in (await reader.read(65536) or b"grpc-status"):
            pass
        writer.close()
        await self._other()

    async def _other(self) -> None:
        """Send a request of another caller, and keep all of its response."""
        self.sent += 1
        response = await self._edges.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
        self.seen_by_others += [str(response.headers), response.text]


async def _all_dialects(callers: Callers) -> None:
    """On each path of each dialect a valid request, and on one of them those with wrong types and broken bodies."""
    for dialect in all_dialects():
        body = canaries(dialect.example)
        for path in dialect.paths:
            await callers.post(body, path)
        for name in body:
            if name not in NAMES:
                for value in ([{"Jane": ["Jane"]}, 7, None, "Jane"], {"Jane": 1}, "Jane", 1e300, [["Jane"]]):
                    await callers.post({**body, name: value}, dialect.paths[0])


async def _errors(callers: Callers) -> None:
    """Requests that are refused before they are read, or for what they hold."""
    for broken in (b'{"query": "Jane", "documents": [Jane]}', b'"Jane"', b"Jane", b'{"query": "Jane\xff"', b'["Jane"]'):
        await callers.post(broken)
    await callers.post(b"Jane" * 300_000)
    await callers.post(b"Jane", **{"content-encoding": "gzip"})
    await callers.post(_BODY, authorization=f"Bearer {WRONG_KEY}")
    await callers.post(_BODY, authorization="", **{"x-api-key": WRONG_KEY, "cookie": "Jane=Jane", "referer": "Jane"})
    await callers.post(_BODY, "/v2/rerank?query=Jane&api_key=Jane")
    await callers.post({**_BODY, "topn": 1, "document": "Jane", "Jane": "Jane"})
    await callers.post({**_BODY, "documents": ["Jane " * 300_000]})
    await callers.post({**_BODY, "documents": ["boom Jane"]})
    await callers.post({**_BODY, "documents": ["nan Jane"]})
    for path in ("/v1/models/small?q=Jane", "/metrics?q=Jane", "/nowhere?q=Jane"):
        await callers.get(path, authorization=f"Bearer {WRONG_KEY}")
        await callers.get(path)


@contextmanager
def _failing(owner: object, name: str, works: Callable[..., bool] = lambda *_, **__: False) -> Iterator[None]:
    """Let a method raise an error that quotes its arguments, during the block, unless it `works` with them."""
    method = getattr(owner, name)

    def fail(*arguments: Any, **named: Any) -> Any:
        if works(*arguments, **named):
            return method(*arguments, **named)
        error = ValueError(f"cannot take Jane {arguments} {named}")
        error.add_note("Jane")
        try:
            raise KeyError(f"Jane {arguments}")  # noqa: TRY301 - the cause of the next one
        except KeyError as cause:
            raise error from cause

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield


async def _faults(callers: Callers, core: Running) -> None:
    """Unexpected errors in each part that sees a text or a key."""
    for owner, name in (
        (PairTokenizer, "encode_query"),
        (PairTokenizer, "encode_documents"),
        (core.reranker, "rerank"),
        (core.registry, "find"),
        (KEYS, "check"),
        (RequestObservation, "ranking"),
        (RequestObservation, "finish"),
    ):
        with _failing(owner, name):
            await _some(callers)
    short = collate([short_pair(core.model.tokenizer)], pad_id=0, limits=batch_limits()).input_ids
    with _failing(core.score, "_score", lambda batch, *_: np.array_equal(batch.input_ids, short)):
        await _some(callers)
    for dialect in all_dialects():
        for name in ("decode", "encode", "encode_error"):
            with _failing(type(dialect), name):
                await callers.post(canaries(dialect.example), dialect.paths[0])


async def _some(callers: Callers) -> None:
    """Requests of several kinds, whatever the server does with them."""
    for path in ("/v2/rerank", "/rerank"):
        with suppress(httpx.HTTPError):
            await callers.post(_BODY, path)
    with suppress(httpx.HTTPError):
        await callers.get("/metrics")
    with suppress(httpx.HTTPError):
        await callers.call()


async def _run() -> dict[str, Any]:
    log_unhandled_errors(asyncio.get_running_loop())
    with tempfile.TemporaryDirectory() as folder, grpc_receiver() as receiver:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        settings = Settings(traces="otlp")
        provider = wiring.tracer_provider(settings)
        assert provider is not None
        async with running(write_small_model(Path(folder) / "small")) as core:
            metrics = Metrics(lambda: core_state(core.registry, core.admissions, ready=True))
            observing = wiring.observing(settings, metrics.requests, provider)
            async with served(core, keys=KEYS, observing=observing, metrics=metrics.text) as edges:
                callers = Callers(edges)
                await _all_dialects(callers)
                await callers.call()
                await callers.call(key=WRONG_KEY)
                await _errors(callers)
                await _faults(callers, core)
                text, _ = await metrics.text("")
        await asyncio.to_thread(provider.shutdown)
        spans = b"".join(request.SerializeToString() for request in receiver.requests)
        return {
            "sent": callers.sent,
            "metrics": text.decode(),
            "spans": spans.decode("latin-1"),
            "seen_by_others": callers.seen_by_others,
        }


if __name__ == "__main__":
    os.environ["GRPC_VERBOSITY"] = "NONE"  # as the command does
    configure_logging(*sys.argv[1:])  # type: ignore[arg-type]
    print(json.dumps(asyncio.run(_run())))
