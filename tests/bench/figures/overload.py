"""Throughput at twice the saturation rate, each request with a deadline, compared with saturation."""

from dataclasses import dataclass

from bench.event_loop import run
from bench.options import Options
from rerank_service.tools.loadtest.generator import Amount, closed_loop, open_loop
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Workload

_OVERLOAD = 2.0
_REQUESTS = 256
"""Number of requests created before the measurement; they repeat if more are sent."""


@dataclass(frozen=True, slots=True)
class Overload:
    """Saturation before and after, and overload between."""

    saturation: tuple[Summary, Summary]
    overload: Summary

    @property
    def ratio(self) -> float | None:
        """Documents per second in overload / in saturation; the mean of both saturations cancels a drift."""
        saturated = sum(summary.documents_per_second for summary in self.saturation) / len(self.saturation)
        return self.overload.documents_per_second / saturated if saturated else None


def take(target: Target, options: Options) -> Overload:
    """Measure a closed loop, then an open loop at twice its rate, then the closed loop again."""
    requests = Workload(options.documents, seed=2).prepared(_REQUESTS)
    amount = Amount(seconds=options.overload_seconds / 2)

    def saturated() -> Summary:
        return summarise(run(closed_loop(target, requests, amount, clients=options.clients)))

    before = saturated()
    rate = _OVERLOAD * before.requests_per_second
    outcomes = run(
        open_loop(target, requests, rate=rate, seconds=options.overload_seconds, deadline=options.overload_deadline)
    )
    return Overload((before, saturated()), summarise(outcomes))
