"""Explain which engine the next start uses, without measurements."""

from dataclasses import dataclass

from rerank_service.engine.available import AvailableEngines, available_engines
from rerank_service.engine.cgroup_limits import memory_left as cgroup_memory_left
from rerank_service.engine.kinds import Engine
from rerank_service.models.bundle import open_bundle
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.memory_estimate import MemoryLeft, memory_check
from rerank_service.models.tuning.startup import Selection, runnable_request, select
from rerank_service.models.variants.cache import Cache


@dataclass(frozen=True, slots=True)
class Explanation:
    """The engines that a start chooses from, and its choice."""

    available: AvailableEngines
    short_of_memory: dict[Engine, str]
    """Engines that work on this machine but exceed the memory limit, with the reason."""
    selection: Selection


def explain(options: ModelOptions, memory_left: MemoryLeft = cgroup_memory_left) -> Explanation:
    """Return the available engines, the cached tuning and the choice of the next start. Measures nothing.

    Raises:
        BundleInvalid: the model cannot be served.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    requested = runnable_request(bundle, options.requested)
    available = available_engines(requested.provider, requested.precision)
    selection = select(bundle, requested, cache)
    check = memory_check(
        bundle, lambda engine: options.lanes_on(engine, selection.tuned), memory_left, selection.engine
    )
    short_of_memory = {engine: found.reason for engine in available.engines if (found := check(engine)) is not None}
    return Explanation(available, short_of_memory, selection)
