"""Servers for client tests: started processes, and four servers that refuse all requests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from rerank_service.api.auth import Keys
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from rerank_service.models.warm_up import short_pair
from support.process import Process, started
from support.running import Running, running, served

KEY = "a-key"
_SMALL_BODY = 16
"""In bytes: less than any client sends."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses of the servers."""

    rest: dict[str, str]
    """Root URLs by kind of server: ready, open (without keys), small, overloaded, failing or draining."""
    grpc: str
    """gRPC address of the ready server."""


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Start `rerank serve` with the bundled model, with a key and without.

    Beside them run four servers in this process, so that refusals are real ones: one that accepts no body of this size
    (413), one that is overloaded (429), one whose model fails (500), and one that drains (503).
    """
    bundle = open_bundle(STARTER)
    keys = Keys([KEY])
    with _log_discarded(RERANK_API_KEYS=KEY) as process, _log_discarded() as keyless:
        async with (
            running(bundle, max_live_documents=1) as full,
            running(bundle) as broken,
            running(bundle) as closed,
            served(closed, keys=keys, max_body_bytes=_SMALL_BODY) as small,
            served(full, keys=keys) as overloaded,
            served(broken, keys=keys) as failing,
            served(closed, keys=keys) as draining,
            _occupied(full),
        ):
            broken.score.fail(but=short_pair(broken.model.tokenizer))  # else the server ends
            closed.admission.close()
            rest = {
                "ready": process.rest,
                "open": keyless.rest,
                "small": str(small.http.base_url),
                "overloaded": str(overloaded.http.base_url),
                "failing": str(failing.http.base_url),
                "draining": str(draining.http.base_url),
            }
            yield Servers(rest, process.grpc)


@contextmanager
def _log_discarded(**variables: str) -> Iterator[Process]:
    """Start a server and discard its log, because a full pipe would block it."""
    with started(**variables) as process:
        assert process.popen.stderr is not None
        threading.Thread(target=process.popen.stderr.read, daemon=True).start()
        yield process


@asynccontextmanager
async def _occupied(core: Running) -> AsyncIterator[None]:
    """Keep one live request, which uses all capacity."""
    core.score.hold()
    ranking = asyncio.create_task(core.rank("1", "2", seconds=3600))
    await core.score.started()
    try:
        yield
    finally:
        core.score.release()
        await ranking
