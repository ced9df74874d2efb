"""A server in a thread of this process, for RerankClient.local(): the gRPC API on a Unix socket in a private folder.

It is the same server as that of `rerank serve`, without ports, API keys, TLS, logs of requests and background tuning.
So limits, validation, deadlines, errors and results are the same (docs/decisions/0045).
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp
from typing import Any

import structlog

from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.core import build_core, managing
from rerank_service.errors import SettingsInvalid
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.lifecycle.readiness import reporting_readiness
from rerank_service.lifecycle.shutdown import run_unless_stopped
from rerank_service.metrics.config_state import ConfigFiles
from rerank_service.observability.logs import log_by_standard_library
from rerank_service.settings import Settings, read_settings
from rerank_service.settings.cache import CacheSettings
from rerank_service.settings.engine import EngineSettings
from rerank_service.settings.limits import LimitSettings
from rerank_service.settings.model import ModelSettings
from rerank_service.settings.timeouts import TimeoutSettings
from rerank_service.suggestion import nearest_name
from rerank_service.wiring import grpc_options, model_entries

_GROUPS = (ModelSettings, EngineSettings, LimitSettings, CacheSettings, TimeoutSettings)
_WITHOUT_EFFECT = ("watch", "tune", "tune_seconds", "grace", "drain_delay", "batch_timeout")
_UNUSED: Mapping[str, object] = {
    "api_keys": (),
    "api_keys_file": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_client_ca": None,
    "watch": False,
}
"""Settings that a local server does not use. These values replace those of environment variables."""
_MAX_FOLDER_BYTES = 80
"""Maximum length of the parent folder. The path of a Unix socket has at most 107 bytes."""

_log = structlog.get_logger()


class LocalServer:
    """A running server. Its event loop runs in a daemon thread."""

    def __init__(self, model: Path | str | None, settings: Mapping[str, Any]) -> None:
        """Load the model, and return when the server accepts requests.

        Args:
            model: model to serve: a bundle, or a hub folder. None: the starter model, or RERANK_MODEL.
            settings: settings by their names in docs/settings.md. They override variables of the environment.

        Raises:
            OperatorError: a setting is wrong, or the model cannot be served.
        """
        _check_names(settings)
        log_by_standard_library()
        self._given = {**settings} if model is None else {"models": None, "model": Path(model), **settings}
        self._starting: Future[str] = Future()
        self._stopping = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="rerank-local", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            self.target: str = self._starting.result()
            """gRPC target of the server."""
        except BaseException:  # also a KeyboardInterrupt during the load
            self.close()
            raise

    def stop(self) -> None:
        """Cancel running calls and stop, without waiting. Any thread may do so, also in the garbage collector."""
        self._stopping.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(stop.set)

    def close(self) -> None:
        """Stop, and wait until the memory is free and the threads have ended. A second call has no effect."""
        self.stop()
        self._thread.join()
        atexit.unregister(self.close)

    def _run(self) -> None:
        try:
            with _private_folder() as folder:
                asyncio.run(self._serve(folder))
        except BaseException as error:  # noqa: BLE001 - raised by the constructor, or logged
            if self._starting.done():
                _log.exception("the local server has failed")
            else:
                self._starting.set_exception(error)

    async def _serve(self, folder: Path) -> None:
        settings = read_settings(**{**_UNUSED, **self._given, "host": (f"unix:{folder}",)})
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        if self._stopping.is_set():  # before `_stop` was there
            self._stop.set()
        async with AsyncExitStack() as running_parts:
            core = build_core(settings, Keys(), ConfigFiles(), running_parts)
            options = grpc_options(settings, listen_addresses(settings.host))
            service = RerankMethods(core.reranker, core.registry, options).service
            edge = await running_parts.enter_async_context(grpc_server.listening([service], core.keys, options))
            manager = await running_parts.enter_async_context(managing(settings, core))
            if not await run_unless_stopped(manager.start(model_entries(settings)), self._stop.wait()):
                return
            await running_parts.enter_async_context(reporting_readiness(core.registry, manager, _Health(edge)))
            self._starting.set_result(edge.targets[0])
            await self._stop.wait()
            manager.drain()


class _Health:
    """Reports the readiness of the models to health checks."""

    def __init__(self, edge: grpc_server.GrpcEdge) -> None:
        self._edge = edge

    async def report(self, manager: ModelManager) -> None:
        """See `Reporter`."""
        await self._edge.set_ready(ready=manager.ready, models=manager.accepting)


def _check_names(settings: Mapping[str, Any]) -> None:
    """Raise SettingsInvalid if a setting is unknown or has no effect."""
    usable = {name for group in _GROUPS for name in group.model_fields} - {*_WITHOUT_EFFECT}
    for name in settings:
        if name in usable:
            continue
        if name in Settings.model_fields:
            raise SettingsInvalid(f"{name} has no effect on a local client, which runs in this process: remove it")
        near = nearest_name(name, usable)
        hint = f"did you mean {near}?" if near else "docs/settings.md lists the settings"
        raise SettingsInvalid(f"{name} is not a setting: {hint}")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder that only this user may enter, with a path that is short enough for a socket.

    A TemporaryDirectory would be removed by the end of a forked child, too, while the parent serves on.
    """
    parent = gettempdir()
    folder = mkdtemp(prefix="rerank-", dir=parent if len(os.fsencode(parent)) <= _MAX_FOLDER_BYTES else "/tmp")  # noqa: S108
    try:
        yield Path(folder)
    finally:
        rmtree(folder, ignore_errors=True)
