"""The engines that work on this machine, and why the others do not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rerank_service.engine import cpu, cuda, openvino
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.runtime import BUILT_IN_PROVIDERS, Graph, Runner
from rerank_service.errors import BundleInvalid
from rerank_service.installation import command_name


class _ProviderModule(Protocol):
    """The interface of cpu.py, openvino.py and cuda.py."""

    @property
    def PACKAGES(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """Packages on the package index that contain the provider."""

    def unavailable_reason(self, precision: Precision) -> str | None: ...

    def open_runner(self, graph: Graph, engine: Engine, lanes: int) -> Runner: ...


_PROVIDERS: dict[Provider, _ProviderModule] = {Provider.CPU: cpu, Provider.OPENVINO: openvino, Provider.CUDA: cuda}

ENGINES = (
    Engine(Provider.CUDA, Precision.FP16),
    Engine(Provider.CUDA, Precision.FP32),
    Engine(Provider.OPENVINO, Precision.BF16),
    Engine(Provider.CPU, Precision.BF16),
    Engine(Provider.OPENVINO, Precision.INT8),
    Engine(Provider.CPU, Precision.INT8),
    Engine(Provider.CPU, Precision.FP32),
    Engine(Provider.OPENVINO, Precision.FP32),
)
"""All supported engines, in the order of their expected speed, the fastest first."""


@dataclass(frozen=True, slots=True)
class SkippedEngine:
    """An engine that cannot be used on this machine."""

    engine: Engine
    reason: str
    transient: bool = False
    """True if another start may succeed, for example after a lack of memory or time."""


def reasons(skipped: Iterable[SkippedEngine]) -> tuple[str, ...]:
    """Return one line for each reason, with all engines that it excludes."""
    by_reason: dict[str, list[str]] = {}
    for skipped_engine in skipped:
        by_reason.setdefault(skipped_engine.reason, []).append(str(skipped_engine.engine))
    return tuple(f"{', '.join(engines)}: {reason}" for reason, engines in by_reason.items())


@dataclass(frozen=True, slots=True)
class AvailableEngines:
    """The requested engines that work on this machine, and those that do not."""

    engines: tuple[Engine, ...]
    skipped: tuple[SkippedEngine, ...]


def available_engines(provider: Provider, precision: Precision) -> AvailableEngines:
    """Return the engines of a provider and a precision that work on this machine. `auto` selects all.

    Raises:
        BundleInvalid: none of them works. There is no silent fallback: onnxruntime by itself would log a warning and
            compute on the CPU.
    """
    requested = [
        engine
        for engine in ENGINES
        if provider in (Provider.AUTO, engine.provider) and precision in (Precision.AUTO, engine.precision)
    ]
    checked = [(engine, _unavailable_reason(engine)) for engine in requested]
    working = tuple(engine for engine, reason in checked if reason is None)
    skipped = tuple(SkippedEngine(engine, reason) for engine, reason in checked if reason is not None)
    if not working:
        raise BundleInvalid(
            f"--provider {provider.value} --precision {precision.value} does not work here: "
            f"{'; '.join(reasons(skipped)) or 'there is no such engine'}. "
            f"This onnxruntime has {', '.join(BUILT_IN_PROVIDERS)}. "
            f"Choose another --provider or --precision; `{command_name()} tune --explain` lists the engines that work"
        )
    return AvailableEngines(working, skipped)


def works(engine: Engine) -> bool:
    """Return whether an engine is supported and works on this machine."""
    return engine in ENGINES and _unavailable_reason(engine) is None


def runtime_packages() -> tuple[str, ...]:
    """Return the names of all packages that contain a provider, installed or not."""
    return tuple(package for module in _PROVIDERS.values() for package in module.PACKAGES)


def _unavailable_reason(engine: Engine) -> str | None:
    return _PROVIDERS[engine.provider].unavailable_reason(engine.precision)


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:
    """Load a graph on an engine.

    Raises:
        BundleInvalid: the engine does not work on this machine, or ONNX Runtime rejects the graph.
    """
    available_engines(engine.provider, engine.precision)
    return _PROVIDERS[engine.provider].open_runner(graph, engine, lanes)
