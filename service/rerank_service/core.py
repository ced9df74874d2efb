"""The core of a server: the parts that serve the requests of all protocols."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from rerank_service.api.auth import Keys
from rerank_service.encoding.tokenizer import start_batch_threads
from rerank_service.engine.host import limit_tokenizer_threads
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_manager import ModelManager, managing_models
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.metrics.config_state import ConfigFiles
from rerank_service.models.registry import Registry
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.fair_threads import FairThreads
from rerank_service.scheduling.lane_pool import LanePools
from rerank_service.scheduling.started_threads import started_threads
from rerank_service.settings import Settings
from rerank_service.wiring import empty_registry, model_options, request_limits

_ASYNCIO_THREADS = 8
"""Threads of `asyncio.to_thread`: large bodies, metrics and name lookups, each with at most a few at once."""


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that all protocols share."""

    registry: Registry
    capacity: ModelCapacity
    reranker: Reranker
    keys: Keys
    files: ConfigFiles

    @property
    def admissions(self) -> Admissions:
        """Admission of all models."""
        return self.capacity.admissions


def build_core(settings: Settings, keys: Keys, files: ConfigFiles, running_parts: AsyncExitStack) -> Core:
    """Return a core without models. `running_parts` stops its threads.

    The threads of blocking calls, also those of asyncio, start here: a request never waits for a new one.

    Raises:
        ThreadsMissing: the system starts fewer threads.
    """
    asyncio.get_running_loop().set_default_executor(started_threads(_ASYNCIO_THREADS, "asyncio"))
    registry = empty_registry(settings)
    limits = LiveLimits(settings.max_live_documents, settings.max_live_tokens)
    admissions = Admissions(limits, asyncio.get_running_loop().time)
    tokenizer_threads = running_parts.enter_context(_tokenizer_threads())
    reranker = Reranker(registry, admissions, request_limits(settings), tokenizer_threads)
    return Core(registry, ModelCapacity(LanePools(), admissions, limits), reranker, keys, files)


def _tokenizer_threads() -> FairThreads:
    """Return one thread for each core that the process may use. Those of the tokenizers library start, too."""
    count = limit_tokenizer_threads()
    start_batch_threads()
    return FairThreads(count, "tokenizer")


def managing(settings: Settings, core: Core) -> AbstractAsyncContextManager[ModelManager]:
    """Load and unload models during the block."""
    loader = VersionLoader(lambda entry: model_options(entry, settings))
    return managing_models(core.registry, loader, core.capacity)
