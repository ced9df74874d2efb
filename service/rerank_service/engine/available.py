"""Which engines this machine has, and why not the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rerank_service.engine import cpu, cuda, openvino
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.runtime import BUILT_IN_PROVIDERS, Graph, Runner
from rerank_service.errors import BundleInvalid


class _Module(Protocol):
    """What each provider's module has."""

    def missing(self, precision: Precision) -> str | None: ...

    def open_runner(self, graph: Graph, engine: Engine, lanes: int) -> Runner: ...


_PROVIDERS: dict[Provider, _Module] = {Provider.CPU: cpu, Provider.OPENVINO: openvino, Provider.CUDA: cuda}

ENGINES = (
    Engine(Provider.CUDA, Precision.FP16),
    Engine(Provider.CUDA, Precision.FP32),
    Engine(Provider.OPENVINO, Precision.BF16),
    Engine(Provider.CPU, Precision.BF16),
    Engine(Provider.CPU, Precision.INT8),
    Engine(Provider.CPU, Precision.FP32),
    Engine(Provider.OPENVINO, Precision.FP32),
)
"""All there are, the likely fastest first."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An engine that does not work here."""

    engine: Engine
    why: str
    passing: bool = False
    """True if another start may find otherwise: there was no memory or no time, say."""


def reasons(skipped: Iterable[Skipped]) -> tuple[str, ...]:
    """A line for each reason, with all the engines that it keeps out."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.why, []).append(str(one.engine))
    return tuple(f"{', '.join(engines)}: {why}" for why, engines in by_reason.items())


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to choose from."""

    engines: tuple[Engine, ...]
    skipped: tuple[Skipped, ...]


def offer(provider: Provider, precision: Precision) -> Offer:
    """The engines that were asked for and work here; `auto` asks for all.

    Raises:
        BundleInvalid: none of them does. There is no silent fall-back: onnxruntime by itself would only log it and
            compute on the CPU.
    """
    wanted = [
        engine
        for engine in ENGINES
        if provider in (Provider.AUTO, engine.provider) and precision in (Precision.AUTO, engine.precision)
    ]
    answers = [(engine, _why_not(engine)) for engine in wanted]
    working = tuple(engine for engine, why in answers if why is None)
    skipped = tuple(Skipped(engine, why) for engine, why in answers if why is not None)
    if not working:
        raise BundleInvalid(
            f"--provider {provider.value} --precision {precision.value} does not work here: "
            f"{'; '.join(reasons(skipped)) or 'there is no such engine'}"
            f" (this onnxruntime has {', '.join(BUILT_IN_PROVIDERS)})"
        )
    return Offer(working, skipped)


def works(engine: Engine) -> bool:
    """Whether there is such an engine, and it works here."""
    return engine in ENGINES and _why_not(engine) is None


def _why_not(engine: Engine) -> str | None:
    return _PROVIDERS[engine.provider].missing(engine.precision)


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:
    """Load a graph on an engine.

    Raises:
        BundleInvalid: the engine does not work here, or refuses the graph.
    """
    offer(engine.provider, engine.precision)
    return _PROVIDERS[engine.provider].open_runner(graph, engine, lanes)
