"""Twice as many requests as the server can do, each with a deadline: does it still do as much as it can?"""

from dataclasses import dataclass

from bench.loop import run
from bench.options import Options
from rerank_service.tools.loadtest.generator import Amount, arriving, closed
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Workload

_OVERLOAD = 2.0
_REQUESTS = 256
"""Made beforehand; they come again where more are sent."""


@dataclass(frozen=True, slots=True)
class Overload:
    """Saturation before and after, overload between."""

    saturation: tuple[Summary, Summary]
    overload: Summary

    @property
    def ratio(self) -> float | None:
        """Of documents a second; of saturation the mean of both, so that a drift of the machine cancels out."""
        saturated = sum(summary.documents_per_second for summary in self.saturation) / len(self.saturation)
        return self.overload.documents_per_second / saturated if saturated else None


def take(target: Target, options: Options) -> Overload:
    """As many clients as elsewhere, then arrivals at twice their rate that wait for nobody, then the clients again."""
    requests = Workload(options.documents, seed=2).prepared(_REQUESTS)
    amount = Amount(seconds=options.overload_seconds / 2)

    def saturated() -> Summary:
        return summarise(run(closed(target, requests, amount, clients=options.clients)))

    before = saturated()
    rate = _OVERLOAD * before.requests_per_second
    outcomes = run(
        arriving(target, requests, rate=rate, seconds=options.overload_seconds, deadline=options.overload_deadline)
    )
    return Overload((before, saturated()), summarise(outcomes))
