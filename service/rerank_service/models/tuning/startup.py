"""Choose the engine at start: requested by a setting, cached from an earlier tuning, or the safe default."""

import importlib.metadata
from dataclasses import dataclass

from rerank_service.engine.available import ENGINES, available_engines, reasons, runtime_packages, works
from rerank_service.engine.cgroup_limits import memory_limit
from rerank_service.engine.cuda import gpu_names
from rerank_service.engine.host import cpu, usable_cores
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.record import TuningRecord, parse_record, reference_engine
from rerank_service.models.tuning.source_digest import code_version
from rerank_service.models.variants.cache import Cache, key
from rerank_service.models.variants.derive import identity
from rerank_service.models.variants.recipes import recipe

_UNTUNED = "exact, and not tuned on this machine yet"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """The provider and the precision that the settings request."""

    provider: Provider = Provider.AUTO
    precision: Precision = Precision.AUTO

    @property
    def is_open(self) -> bool:
        """True if several engines may match, so that a tuning can choose."""
        return Provider.AUTO is self.provider or Precision.AUTO is self.precision


@dataclass(frozen=True, slots=True)
class Selection:
    """The engine to start with, and why."""

    engine: Engine
    explanation: str
    """The reason, and why each other engine was not chosen."""
    reason: str
    """The reason, short enough for a log line."""
    tuned: TuningRecord | None = None
    """The record of an earlier tuning; None without one."""

    @classmethod
    def of(cls, tuned: TuningRecord) -> "Selection":
        """Return the choice of a tuning."""
        return cls(tuned.engine, tuned.explanation(), tuned.reason(), tuned)


def runnable_request(bundle: Bundle, requested: EngineRequest) -> EngineRequest:
    """Return the request that a bundle can serve. A quantized graph runs unchanged, on the CPU only.

    Raises:
        BundleInvalid: the graph is quantized, and another provider or precision is requested.
    """
    if not bundle.is_quantized:
        return requested
    fits = requested.precision is Precision.AUTO or requested.precision.value == bundle.precision
    if not fits or requested.provider not in (Provider.AUTO, Provider.CPU):
        raise BundleInvalid(
            f"{bundle.graph} is quantized to {bundle.precision} and runs on the CPU only: "
            f"--provider {requested.provider.value} --precision {requested.precision.value} needs the "
            "model's fp32 graph"
        )
    return EngineRequest(Provider.CPU, Precision.INT8)


def select(bundle: Bundle, requested: EngineRequest, cache: Cache) -> Selection:
    """Return the engine to start with. An engine whose ranking may differ from fp32 is used only on request.

    Raises:
        BundleInvalid: the requested engine does not work on this machine.
    """
    tuned = cached_tuning(bundle, requested, cache)
    return untuned(bundle, requested) if tuned is None else Selection.of(tuned)


def untuned(bundle: Bundle, requested: EngineRequest) -> Selection:
    """Return the engine to start with if there is no tuning.

    Raises:
        BundleInvalid: the requested engine does not work on this machine.
    """
    if requested == EngineRequest():  # does not check every provider, which takes a while
        return Selection(_safe_default(), _UNTUNED, _UNTUNED)
    available = available_engines(requested.provider, requested.precision)
    engine = reference_engine(available.engines) if requested.precision is Precision.AUTO else available.engines[0]
    reason = f"requested: provider {requested.provider.value}, precision {requested.precision.value}"
    if bundle.is_quantized:
        reason = f"the graph is quantized to {bundle.precision}, and runs unchanged"
    return Selection(engine, "; ".join((reason, *reasons(available.skipped))), reason)


def cached_tuning(bundle: Bundle, requested: EngineRequest, cache: Cache) -> TuningRecord | None:
    """Return the record of an earlier tuning for this bundle, machine and request.

    None if there is no record, or if its engine no longer works.
    """
    return tuning_of_key(tuning_key(bundle, requested), cache)


def tuning_of_key(name: str, cache: Cache) -> TuningRecord | None:
    """Return the record of an earlier tuning with this key, as `cached_tuning`."""
    tuned = parse_record(cache.tuning(name))
    return tuned if tuned is not None and works(tuned.engine) else None


def tuning_key(bundle: Bundle, requested: EngineRequest) -> str:
    """Return a key of everything that the choice of a tuning depends on.

    For a hub folder, it is that of the files as they are now.
    """
    machine = cpu()
    return key(
        identity(bundle),
        requested.provider.value,
        requested.precision.value,
        machine.name,
        " ".join(sorted(machine.features)),
        str(usable_cores()),
        " ".join(f"{name} {_version(name)}" for name in runtime_packages()),
        " ".join(gpu_names()),
        " ".join(sorted({recipe(engine) for engine in ENGINES})),
        parity_set.digest(),
        code_version(),
        str(memory_limit()),  # engines that exceed it are not measured
    )


def _safe_default() -> Engine:
    cuda = Engine(Provider.CUDA, Precision.FP32)
    return cuda if works(cuda) else CPU_FP32


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"
