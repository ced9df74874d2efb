"""At start: what was asked for, what is remembered, what is sure."""

import importlib.metadata
from dataclasses import dataclass

from rerank_service.engine.available import offer, reasons, works
from rerank_service.engine.cuda import gpus
from rerank_service.engine.host import cpu, usable_cores
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.cgroup_memory import memory_limit
from rerank_service.models.tuning.record import Tuned, read, reference_of
from rerank_service.models.tuning.source_digest import code_version
from rerank_service.models.variants.cache import Cache, key
from rerank_service.models.variants.derive import identity
from rerank_service.models.variants.recipes import recipe

_UNTUNED = "exact, and not tuned on this machine yet"
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-ep-openvino")


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the operator asked for."""

    provider: Provider = Provider.AUTO
    precision: Precision = Precision.AUTO

    @property
    def is_open(self) -> bool:
        """Whether it leaves a choice to be measured."""
        return Provider.AUTO is self.provider or Precision.AUTO is self.precision


@dataclass(frozen=True, slots=True)
class Selection:
    """What runs, and why."""

    engine: Engine
    why: str
    """The reason, and what speaks against each other engine."""
    reason: str
    tuned: Tuned | None = None
    """The record of an earlier tuning."""

    @classmethod
    def of(cls, tuned: Tuned) -> "Selection":
        """Return what a tuning chose."""
        return cls(tuned.engine, tuned.why(), tuned.reason(), tuned)


def runnable_request(bundle: Bundle, requested: EngineRequest) -> EngineRequest:
    """What can be asked of a bundle: of one that is quantised already, to run it as it is.

    Raises:
        BundleInvalid: something else was asked for.
    """
    made = Precision(bundle.precision)
    if made is Precision.FP32:
        return requested
    if requested.precision not in (Precision.AUTO, made) or requested.provider not in (Provider.AUTO, Provider.CPU):
        asked = f"--provider {requested.provider.value} --precision {requested.precision.value}"
        raise BundleInvalid(
            f"{bundle.graph} is quantised to {made.value} and runs on the CPU only: "
            f"{asked} needs the model's fp32 graph"
        )
    return EngineRequest(Provider.CPU, made)


def select(bundle: Bundle, requested: EngineRequest, cache: Cache) -> Selection:
    """The engine to start with. What is not known to rank as fp32 does is not taken unasked.

    Raises:
        BundleInvalid: what was asked for does not work here.
    """
    tuned = remembered(bundle, requested, cache)
    if tuned is not None:
        return Selection.of(tuned)
    if requested == EngineRequest():  # without looking at every provider, which takes a while
        return Selection(_sure(), _UNTUNED, _UNTUNED)
    found = offer(requested.provider, requested.precision)
    engine = reference_of(found.engines) if requested.precision is Precision.AUTO else found.engines[0]
    asked = f"asked for: provider {requested.provider.value}, precision {requested.precision.value}"
    return Selection(engine, "; ".join((asked, *reasons(found.skipped))), asked)


def remembered(bundle: Bundle, requested: EngineRequest, cache: Cache) -> Tuned | None:
    """What a tuning of this bundle on this machine has found for this requested; None if that no longer works."""
    tuned = read(cache.tuning(tuning_key(bundle, requested)))
    return tuned if tuned is not None and works(tuned.engine) else None


def tuning_key(bundle: Bundle, requested: EngineRequest) -> str:
    """A name for all that the outcome of a tuning depends on."""
    machine = cpu()
    return key(
        identity(bundle),
        requested.provider.value,
        requested.precision.value,
        machine.name,
        " ".join(sorted(machine.features)),
        str(usable_cores()),
        " ".join(f"{name} {_version(name)}" for name in _RUNTIMES),
        " ".join(gpus()),
        recipe(Engine(Provider.CPU, Precision.INT8)),
        recipe(Engine(Provider.CUDA, Precision.FP16)),
        parity_set.digest(),
        code_version(),
        str(memory_limit()),  # which keeps engines out
    )


def _sure() -> Engine:
    cuda = Engine(Provider.CUDA, Precision.FP32)
    return cuda if works(cuda) else CPU_FP32


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"
