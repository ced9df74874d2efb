"""The methods of rerank.v1.Admin."""

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from google.protobuf.message import Message

from rerank.v1 import admin_pb2 as pb
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.handlers import Call, Service
from rerank_service.error_text import excerpt
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.bundle_folders import AvailableBundle, BundleFolders
from rerank_service.lifecycle.model_control import ModelControl, ModelStatus
from rerank_service.lifecycle.model_control_errors import AdminKeyRequired
from rerank_service.model_names import is_model_name
from rerank_service.models.model_state import ModelState
from rerank_service.models.registry import DEFAULT_NAMES

_SERVICE = pb.DESCRIPTOR.services_by_name["Admin"]
_MAX_NAME_CHARS = 200
_STATES = {
    ModelState.UNLOADED: pb.BUNDLE_STATE_UNLOADED,
    ModelState.LOADING: pb.BUNDLE_STATE_LOADING,
    ModelState.READY: pb.BUNDLE_STATE_READY,
    ModelState.FAILED: pb.BUNDLE_STATE_FAILED,
    ModelState.DRAINING: pb.BUNDLE_STATE_DRAINING,
}

_Method = Callable[[Call[Any], Any], Coroutine[Any, Any, Message]]

_log = structlog.get_logger()


class AdminMethods:
    """The methods of rerank.v1.Admin. If the server has API keys, each needs one with `admin: true`."""

    def __init__(self, control: ModelControl, folders: BundleFolders, keys: Keys) -> None:
        """Change the models of `control`. Load them from the folders that `folders` allows."""
        self._control = control
        self._folders = folders
        self._keys = keys

    @property
    def service(self) -> Service:
        """The service with all its methods."""
        methods: dict[str, _Method] = {
            "LoadModel": self.load_model,
            "UnloadModel": self.unload_model,
            "RemoveModel": self.remove_model,
            "ListBundles": self.list_bundles,
            "SetReadiness": self.set_readiness,
        }
        return Service(_SERVICE, {name: partial(self._checked, method) for name, method in methods.items()})

    async def _checked(self, method: _Method, call: Call[Any]) -> Message:
        """Check that the caller may change the server, before its message is read."""
        if self._keys.required and not call.context.caller.admin:
            raise AdminKeyRequired(
                "the API key may not change the server: use one with `admin: true` in the file of keys"
            )
        return await method(call, await anext(call.messages))

    async def load_model(self, call: Call[Any], message: pb.LoadModelRequest) -> pb.LoadModelResponse:
        """Load a model or a new version of it. The end of the call does not end the load."""
        _check_name(message.name)
        folder = None
        if message.folder:
            known = _known_folders(self._control.statuses())
            folder = await run_in_background(partial(self._folders.allowed, message.folder, known))
        with _logged(call, "load", model=message.name, folder=str(folder or "")):
            return pb.LoadModelResponse(bundle=_model(await self._control.load(message.name, folder)))

    async def unload_model(self, call: Call[Any], message: pb.UnloadModelRequest) -> pb.UnloadModelResponse:
        """Unload a model. The end of the call does not end that."""
        _check_name(message.name)
        with _logged(call, "unload", model=message.name):
            return pb.UnloadModelResponse(bundle=_model(await self._control.unload(message.name)))

    async def remove_model(self, call: Call[Any], message: pb.RemoveModelRequest) -> pb.RemoveModelResponse:
        """Remove a model that Admin has added. The end of the call does not end that."""
        _check_name(message.name)
        with _logged(call, "remove", model=message.name):
            await self._control.remove(message.name)
        return pb.RemoveModelResponse()

    async def list_bundles(self, _call: Call[Any], _message: pb.ListBundlesRequest) -> pb.ListBundlesResponse:
        """List the models, and the bundles that no model uses."""
        statuses = self._control.statuses()
        in_use = [status.folder for status in statuses]
        available = await run_in_background(partial(self._folders.available, in_use))
        return pb.ListBundlesResponse(bundles=[*map(_model, statuses), *map(_bundle, available)])

    async def set_readiness(self, call: Call[Any], message: pb.SetReadinessRequest) -> pb.SetReadinessResponse:
        """Switch the readiness of the server."""
        if not message.HasField("ready"):
            raise InvalidRequest("ready is not set: set it to true or false", field="ready", reason="missing")
        with _logged(call, "set_readiness", ready=message.ready):
            await self._control.set_readiness(ready=message.ready)
        return pb.SetReadinessResponse()


def _known_folders(statuses: Iterable[ModelStatus]) -> list[Path]:
    """Return the folders that the models use, and those that they have in the settings or the models file."""
    folders = (folder for status in statuses for folder in (status.folder, status.catalog_folder))
    return [folder for folder in folders if folder is not None]


@contextmanager
def _logged(call: Call[Any], action: str, **fields: object) -> Iterator[None]:
    """Log the start of a change, so that the log shows who caused it, and the error that ends it."""
    key, client = call.context.caller.name, call.observation.client
    log = _log.bind(action=action, **fields, key=key, client=client, request_id=call.context.id)
    log.info("admin request")
    try:
        yield
    except RequestError as error:
        log.warning("admin request failed", reason=error.reason, error=str(error))
        raise


def _check_name(name: str) -> None:
    if not is_model_name(name, _MAX_NAME_CHARS):
        raise InvalidRequest(
            f"name is {excerpt(name)!r}: give the name of a model, 1 to {_MAX_NAME_CHARS} printable characters",
            field="name",
        )
    if name in DEFAULT_NAMES:
        raise InvalidRequest(f"name {name!r} means the default model in requests: give its own name", field="name")


def _model(status: ModelStatus) -> pb.Bundle:
    info = status.info
    return pb.Bundle(
        name=status.name,
        aliases=status.aliases,
        folder=_text(status.folder),
        state=_STATES[status.state],
        reason=_text(status.reason),
        digest=status.digest,
        on_demand=status.on_demand,
        weight=status.weight,
        memory_bytes=status.memory_bytes,
        live_requests=status.live_requests,
        precision=info.precision if info else "",
        provider=info.provider if info else "",
        lanes=info.lanes if info else 0,
    )


def _bundle(bundle: AvailableBundle) -> pb.Bundle:
    return pb.Bundle(
        name=_text(bundle.folder.name),
        folder=_text(bundle.folder),
        state=pb.BUNDLE_STATE_FAILED if bundle.problem else pb.BUNDLE_STATE_AVAILABLE,
        reason=_text(bundle.problem),
        digest=bundle.digest,
    )


def _text(path: str | Path) -> str:
    """Return a path as text. A message cannot have its bytes that are not UTF-8."""
    return os.fsencode(path).decode(errors="replace")
