"""The service Admin on a real port, with models that load when a test allows it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rerank.admin import AdminClient
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.admin_v1 import AdminMethods
from rerank_service.api.request_observation import Observing
from rerank_service.errors import RequestError, UnknownModel
from rerank_service.lifecycle.bundle_folders import BundleFolders
from rerank_service.lifecycle.model_control import ModelControl, ModelStatus
from rerank_service.models.model_state import ModelState
from support.limits import grpc_options

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Without it, gRPC may reuse the connection of an earlier server on the same port."""


class StatedModels:
    """Models that consist of their status. A load waits while the test holds it, and fails with `error`."""

    def __init__(self, *statuses: ModelStatus) -> None:
        self._statuses = {status.name: status for status in statuses}
        self.error: RequestError | None = None
        self.ready = True
        self.loaded: list[tuple[str, Path | None]] = []
        """Names and folders of the loads that began."""
        self.free = asyncio.Event()
        self.free.set()

    def statuses(self) -> Sequence[ModelStatus]:
        """Return all models."""
        return list(self._statuses.values())

    async def load(self, name: str, folder: Path | None = None) -> ModelStatus:
        """Set the state to READY."""
        self.loaded.append((name, folder))
        await self.free.wait()
        if folder is not None and self.error is None:
            new = ModelStatus(name=name, folder=folder, state=ModelState.UNLOADED)
            self._statuses[name] = replace(self._statuses.get(name, new), folder=folder)
        return self._changed(name, ModelState.READY)

    async def unload(self, name: str) -> ModelStatus:
        """Set the state to UNLOADED."""
        return self._changed(name, ModelState.UNLOADED)

    async def remove(self, name: str) -> None:
        """Forget the model."""
        self._changed(name, ModelState.UNLOADED)
        del self._statuses[name]

    async def set_readiness(self, *, ready: bool) -> None:
        """Keep the value."""
        self.ready = ready

    def _changed(self, name: str, state: ModelState) -> ModelStatus:
        if self.error is not None:
            raise self.error
        if name not in self._statuses:
            raise UnknownModel(f"model {name!r} is not served here; served: {', '.join(self._statuses)}")
        self._statuses[name] = replace(self._statuses[name], state=state)
        return self._statuses[name]


@asynccontextmanager
async def admin_served(
    models: ModelControl,
    *,
    root: Path | None = None,
    keys: Keys | None = None,
    observing: Observing | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    """Serve Admin on a port that the system chooses. Yield its address. `options` are those of gRPC."""
    keys = keys or Keys()
    service = AdminMethods(models, BundleFolders(root), keys).service
    async with grpc_server.listening((service,), keys, grpc_options(**options), observing) as edge:
        await edge.set_ready(ready=True)
        yield f"localhost:{edge.port}"


def admin_client(address: str, **options: Any) -> AdminClient:
    """Return a client with a connection of its own."""
    return AdminClient(address, options=OWN_CONNECTION, **options)
