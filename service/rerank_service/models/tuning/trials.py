"""Opening engines, and judging each by its speed and its agreement with fp32."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.available import Skipped
from rerank_service.engine.kinds import Engine, Precision
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import MIN_TOKENS
from rerank_service.models.tuning.gate import LEAST_TAU, Agreement
from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.record import Trial
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair

WORTH = 1.05
"""Times the speed of fp32 that another engine must reach, to be worth its rounding."""
_PAIR = Batch(*(np.ones((1, MIN_TOKENS), np.int64) for _ in range(3)))
"""Any tokens do, to see that a graph runs."""


@dataclass(slots=True)
class Opened:
    """Engines that load, and why the others do not."""

    encoders: dict[Engine, CrossEncoder] = field(default_factory=dict)
    failed: dict[Engine, str] = field(default_factory=dict)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Those that do not load, as those that the machine has not."""
        return tuple(Skipped(engine, why) for engine, why in self.failed.items())


def open_all(bundle: Bundle, engines: Iterable[Engine], cache: Cache, *, lanes: int) -> Opened:
    """Load a bundle on each engine, and score a pair with it."""
    opened = Opened()
    for engine in engines:
        try:
            graph = graph_for(bundle, engine, cache)
            encoder = CrossEncoder(graph, engine, lanes=lanes, difference=bundle.manifest.difference)
            encoder.score(_PAIR)
        except Exception as error:  # noqa: BLE001 - whatever one engine fails with, the others are measured
            opened.failed[engine] = str(error)
        else:
            opened.encoders[engine] = encoder
    return opened


class Reference:
    """The logits of fp32, computed once for each query."""

    def __init__(self, score: Score, queries: list[list[EncodedPair]], limits: BatchLimits, pad_id: int) -> None:
        self.queries = queries
        self._score = score
        self._limits = limits
        self._pad_id = pad_id
        self._known: dict[int, NDArray[np.float32]] = {}

    def tau(self, number: int, score: Score) -> float:
        """Agreement of another engine with fp32 on one query."""
        if number not in self._known:
            self._known[number] = self._logits(self._score, number)
        return kendall_tau_b(self._known[number], self._logits(score, number))

    def _logits(self, score: Score, number: int) -> NDArray[np.float32]:
        return logits(score, self.queries[number], self._limits, self._pad_id)


def judge(
    speeds: Mapping[Engine, float], base: Engine, agreement: Callable[[Engine], Agreement]
) -> tuple[Engine, tuple[Trial, ...]]:
    """The fastest engine that ranks as fp32 does, and what was found of each. `agreement` is
    asked from the fastest on, and no more once one was chosen."""
    chosen = base
    trials = []
    for engine in sorted(speeds, key=lambda one: -speeds[one]):
        ratio = speeds[engine] / speeds[base]
        said = f"{ratio:.2f} times {base}"
        seen = Agreement(0)
        if engine == base:
            said = "exact" if base.precision is Precision.FP32 else "the one that others are compared with"
            verdict = said if chosen != base else f"{said}, and nothing faster ranks alike"
        elif chosen != base:
            verdict = f"{said}, and slower than {chosen}"
        elif ratio < WORTH:
            verdict = f"{said}, not worth its rounding"
        else:
            seen = agreement(engine)
            verdict = f"{said}, {_told(seen)}"
            chosen = engine if seen.holds else base
        trials.append(_trial(engine, speeds[engine], seen, verdict))
    return chosen, tuple(trials)


def _told(seen: Agreement) -> str:
    if not seen.queries:
        return "no query of the parity set fits the model's window"
    if not seen.taus:
        return "no time left to compare its ranking: run `rerank tune`"
    tau = f"tau-b {seen.mean:.4f} over {counted(len(seen.taus), 'query')}"
    if seen.holds is None:
        return f"{tau}, too few to say: run `rerank tune`"
    return tau if seen.holds else f"{tau}, less than {LEAST_TAU}"


def _trial(engine: Engine, speed: float, seen: Agreement, verdict: str) -> Trial:
    return Trial(
        undecided=bool(seen.queries) and seen.holds is None,
        provider=engine.provider,
        precision=engine.precision,
        tokens_per_second=round(speed, 1),
        tau=round(seen.mean, 6) if seen.taus else None,
        queries=len(seen.taus),
        verdict=verdict,
    )
