"""Load, swap and unload the models of the catalog while the server runs.

START HERE: `_load` and `_unload` are the two operations. All else decides when they run: at the start, for an operator,
for a request, for a change of a file, for idle time.

Rule 1: a model has at most one operation at a time. An equal call joins it, a different one is rejected.
Rule 2: an operation is a task of the server. It continues if the call or the request that started it is cancelled.
Rule 3: a version takes requests only when it is loaded, warmed up and checked. The version before it finishes its own
requests, then its lanes end and its memory is freed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from rerank_service.engine.process_memory import return_free_memory
from rerank_service.errors import MemoryTooSmall, NotReady, OperatorError, RequestError, UnknownModel
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.managed_model import ManagedModel, Operation, same_folder
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.lifecycle.model_control_errors import LoadConflict, LoadFailed, NameTaken, NoMemory
from rerank_service.lifecycle.version_loading import Version, VersionLoader
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.model_state import ModelState
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.models.unloaded_model import unloaded_info

RETRY_SECONDS = 10.0
"""Seconds after a failed load in which requests do not load an on-demand model again."""

_log = structlog.get_logger()

RunLanes = Callable[[ServedModel, ModelEntry], Coroutine[Any, Any, None]]
"""Runs the lanes of a model until its scheduler is closed. Raises the error that ends a lane."""
OnServed = Callable[[ManagedModel], None]


def _ignore(_managed: ManagedModel) -> None:
    """Do nothing."""


class ModelManager:
    """The models of the catalog. Implements `ModelControl`. Used on the event loop only."""

    def __init__(
        self, registry: Registry, loader: VersionLoader, run_lanes: RunLanes, tasks: asyncio.TaskGroup
    ) -> None:
        self._registry = registry
        self._loader = loader
        self._run_lanes = run_lanes
        self._tasks = tasks
        self._models: dict[str, ManagedModel] = {}
        self._started = False
        self._stopping = False
        self._ready_wanted = True
        self.on_loaded: OnServed = _ignore
        """Called when a version that was not tuned in the background begins to serve."""
        self.on_retired: OnServed = _ignore
        """Called when a version takes no more requests."""

    @property
    def models(self) -> Sequence[ManagedModel]:
        """All models, the default first."""
        return list(self._models.values())
