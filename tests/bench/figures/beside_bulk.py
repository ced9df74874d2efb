"""Requests of ten documents, alone and while two clients send a thousand at a time without pause."""

import asyncio
from dataclasses import dataclass

from bench.loop import run
from bench.options import Options
from rerank_service.tools.loadtest.generator import Amount, Outcome, closed
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Workload

_BULK_REQUESTS = 4
_HEADSTART = 2.0
"""Seconds until bulk is all over the lanes."""
_FOR_EVER = 3600.0


@dataclass(frozen=True, slots=True)
class BesideBulk:
    """The same requests twice."""

    idle: Summary
    busy: Summary
    bulk: Summary
    """The company's own calls that ended; some that are refused are no company."""

    @property
    def ratio(self) -> float | None:
        """Of the 99th percentiles."""
        return self.busy.latency.p99 / self.idle.latency.p99 if self.busy.answered and self.idle.answered else None


def take(target: Target, options: Options) -> BesideBulk:
    """One client with small requests, alone and then in company."""
    return run(_take(target, options))


async def _take(target: Target, options: Options) -> BesideBulk:
    small = Workload(options.documents).prepared(options.probes)
    bulk = Workload(options.bulk_documents, seed=1).prepared(_BULK_REQUESTS)
    amount = Amount(requests=options.probes)
    idle = await closed(target, small, amount, clients=1)
    ended: list[Outcome] = []
    without_end = Amount(seconds=_FOR_EVER)
    company = asyncio.create_task(
        closed(target, bulk, without_end, clients=options.bulk_clients, deadline=_FOR_EVER, on_outcome=ended.append)
    )
    try:
        await asyncio.sleep(_HEADSTART)
        busy = await closed(target, small, amount, clients=1)
    finally:
        company.cancel()
        await asyncio.wait([company])
    return BesideBulk(summarise(idle), summarise(busy), summarise(ended))
