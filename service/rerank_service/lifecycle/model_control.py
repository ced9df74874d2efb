"""Control of the models of a running server: their states, loading, unloading, removal, and readiness.

The service Admin calls this interface. The part that loads models implements it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model at one point in time."""

    name: str
    """Name that requests use: the name of the entry, else the one in the manifest, else that of the folder."""
    aliases: tuple[str, ...] = ()
    folder: Path
    """Folder of the version that serves. Not ready: the folder of the last load, or of the next one."""
    catalog_folder: Path | None = None
    """Folder of the model in the settings or the models file. None: `load` has added the model."""
    state: ModelState
    reason: str = ""
    """Why the model has this state, or why its last load failed while an earlier version serves. One line."""
    digest: str = ""
    """sha256 over everything that scores depend on; empty for a hub folder, or if it is not known yet."""
    on_demand: bool = False
    """True if the first request loads the model, and idle time unloads it. False: it is loaded at the start."""
    weight: float = 1.0
    """Share of the lanes, relative to the weights of other models."""
    memory_bytes: int | None = None
    """Measured memory of the model, in bytes. None: not loaded, or not measured."""
    live_requests: int = 0
    """Accepted requests that are not finished, of all loaded versions."""
    info: ModelInfo | None = None
    """Facts about the version that serves. None: no version serves."""


class ModelControl(Protocol):
    """Loads and unloads models while the server runs. All methods run on the event loop.

    Errors of requests (lifecycle/model_control_errors.py) carry one line for the operator.
    """

    def statuses(self) -> Sequence[ModelStatus]:
        """Return all models of the catalog, and those that `load` has added, the default model first."""

    async def load(self, name: str, folder: Path | None = None) -> ModelStatus:
        """Load a model, or change to a new version of it without losing a request. Return when it takes requests.

        A cancelled call does not cancel the load. A second call for the same load waits for it, too.

        Args:
            name: name of a model of `statuses()`; with a folder, also a new name. An alias is not a name.
            folder: resolved folder of the version to load, which the caller of this method has allowed. None: the
                folder of the model, read again. It returns the present status if that version serves already.

        Raises:
            UnknownModel: no model has this name, and `folder` is None.
            LoadFailed: the folder is not a model, has a wrong digest, or fails its checks. Nothing changes.
            NoMemory: the model does not fit beside the loaded ones. Nothing was loaded.
            NameTaken: another model has the name, or a name of the version, as its name or alias.
            LoadConflict: another version of the model is being loaded, or the model is draining.
            NotReady: the server is starting or shuts down.
        """

    async def unload(self, name: str) -> ModelStatus:
        """Finish the accepted requests of a model and free its memory. Return when it is unloaded.

        A cancelled call does not cancel the unloading. An unloaded model stays as it is. A model with `on_demand` is
        loaded again by the next request; any other model rejects requests until `load`.

        Raises:
            UnknownModel: no model has this name.
            LoadConflict: the model is being loaded.
            NotReady: the server is starting or shuts down.
        """

    async def remove(self, name: str) -> None:
        """Unload a model that `load` has added, and make its name free. Return when the server does not have it.

        A cancelled call does not cancel the removal.

        Raises:
            UnknownModel: no model has this name.
            InCatalog: the model is one of the catalog.
            LoadConflict: the model is being loaded.
            NotReady: the server is starting or shuts down.
        """

    async def set_readiness(self, *, ready: bool) -> None:
        """Switch the readiness of the whole server off or on again. Requests are accepted in both cases.

        With False, the server reports that it is not ready until a call with True. With True, it is ready as far as its
        models are.

        Raises:
            NotReady: the server is starting or shuts down.
        """
