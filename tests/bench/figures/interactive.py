"""Duration of one request of 25 documents, alone on the machine."""

from collections.abc import Mapping
from functools import partial
from statistics import median

from bench.pool import Record, SystemPool
from bench.running_systems import RunningSystem
from bench.systems import OURS, Use
from rerank_service.tools.loadtest.workload import PreparedRequests, Request


def take_turns(pool: SystemPool, requests: PreparedRequests) -> None:
    """Send one request at a time to each system in turn.

    Our own systems get more requests, because their ratio is close to its bound. The first request warms up.
    """
    pool.say("interactive requests, one at a time")
    budgets: dict[int, list[float]] = {budget: [] for budget in pool.options.budgets}
    for system in pool.systems():
        pool.ask(system, partial(_warm_up, requests.requests[0], pool.records[system].batch))
    for number, request in enumerate(requests.requests[1:]):
        for system in pool.systems():
            if system.peer == OURS or number < pool.options.interactive_requests_of_peers:
                pool.ask(system, partial(_rank, pool.records[system], request, budgets))
    for record in pool.records.values():
        if record.system.use is Use.BARE and all(budgets.values()):
            record.interactive_seconds = min(budgets.values(), key=median)


def _warm_up(request: Request, batch: int | None, running: RunningSystem) -> None:
    running.rank(request, batch)


def _rank(record: Record, request: Request, budgets: Mapping[int, list[float]], running: RunningSystem) -> None:
    """Measure one request; the bare engine with every batch size.

    The best size for much work is not the best for one request, whose lanes should finish at the same time.
    """
    if record.system.use is Use.BARE:
        for budget, seconds in budgets.items():
            seconds.append(running.rank(request, budget))
    else:
        record.interactive_seconds.append(running.rank(request, record.batch))
