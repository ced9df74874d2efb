"""The servers that clients are run against: started ones, and two that refuse what they are asked."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from rerank_service.api.auth import Keys
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from support.process import Process, started
from support.running import Running, running, served

KEY = "a-key"


@dataclass(frozen=True, slots=True)
class Servers:
    """Their addresses."""

    rest: dict[str, str]
    """Roots by what the server is: ready, open (without keys), overloaded or draining."""
    grpc: str
    """Of the one that is ready."""


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """`rerank serve` with the bundled model, with a key and without; beside it the same edges, one with no room left
    and one whose door is closed, so that refusals are the server's own."""
    bundle = open_bundle(STARTER)
    keys = Keys([KEY])
    with _unread(RERANK_API_KEYS=KEY) as process, _unread() as keyless:
        async with (
            running(bundle, max_live_documents=1) as full,
            running(bundle) as closed,
            served(full, keys=keys) as overloaded,
            served(closed, keys=keys) as draining,
            _occupied(full),
        ):
            closed.admission.close()
            rest = {
                "ready": process.rest,
                "open": keyless.rest,
                "overloaded": str(overloaded.http.base_url),
                "draining": str(draining.http.base_url),
            }
            yield Servers(rest, process.grpc)


@contextmanager
def _unread(**variables: str) -> Iterator[Process]:
    """A started server whose log is thrown away, lest it fill the pipe."""
    with started(**variables) as process:
        assert process.popen.stderr is not None
        threading.Thread(target=process.popen.stderr.read, daemon=True).start()
        yield process


@asynccontextmanager
async def _occupied(core: Running) -> AsyncIterator[None]:
    """A request that takes all room, and stays."""
    core.score.hold()
    ranking = asyncio.create_task(core.rank("1", "2", seconds=3600))
    await core.score.started()
    try:
        yield
    finally:
        core.score.release()
        await ranking
