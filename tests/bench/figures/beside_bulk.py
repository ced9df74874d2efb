"""Latency of small requests, alone and beside two clients that send bulk requests without pause."""

import asyncio
from dataclasses import dataclass

from bench.event_loop import run
from bench.options import Options
from rerank_service.tools.loadtest.generator import Amount, Outcome, closed_loop
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Workload

_BULK_REQUESTS = 4
_HEADSTART = 2.0
"""Seconds until bulk requests occupy all lanes."""
_UNLIMITED = 3600.0


@dataclass(frozen=True, slots=True)
class BesideBulk:
    """The same small requests, alone and beside bulk requests."""

    idle: Summary
    busy: Summary
    bulk: Summary
    """Completed bulk calls."""

    @property
    def ratio(self) -> float | None:
        """Ratio of the 99th percentiles: busy / idle. None if a call was refused: the load was not whole, or the
        percentiles lack the slowest calls."""
        levels = (self.idle, self.busy, self.bulk)
        is_whole = self.busy.answered and self.idle.answered and not any(level.errors for level in levels)
        return self.busy.latency.p99 / self.idle.latency.p99 if is_whole else None


def take(target: Target, options: Options) -> BesideBulk:
    """Measure one client with small requests, first alone, then beside bulk clients."""
    return run(_take(target, options))


async def _take(target: Target, options: Options) -> BesideBulk:
    small = Workload(options.documents).prepared(options.probes)
    bulk = Workload(options.bulk_documents, seed=1).prepared(_BULK_REQUESTS)
    amount = Amount(requests=options.probes)
    idle = await closed_loop(target, small, amount, clients=1)
    bulk_outcomes: list[Outcome] = []
    endless = Amount(seconds=_UNLIMITED)
    bulk_load = asyncio.create_task(
        closed_loop(
            target, bulk, endless, clients=options.bulk_clients, deadline=_UNLIMITED, on_outcome=bulk_outcomes.append
        )
    )
    try:
        await asyncio.sleep(_HEADSTART)
        busy = await closed_loop(target, small, amount, clients=1)
    finally:
        bulk_load.cancel()
        await asyncio.wait([bulk_load])
    return BesideBulk(summarise(idle), summarise(busy), summarise(bulk_outcomes))
