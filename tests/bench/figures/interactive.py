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

    Our own systems get more requests, because their ratio is close to its bound. The first request warms up; its scores
    show that all systems run the same model.
    """
    pool.say("interactive requests, one at a time")
    _compare_scores(pool, requests.requests[0])
    budgets: dict[int, list[float]] = {budget: [] for budget in pool.options.budgets}
    for number, request in enumerate(requests.requests[1:]):
        for system in pool.systems():
            if system.peer == OURS or number < pool.options.interactive_requests_of_peers:
                pool.ask(system, partial(_rank, pool.records[system], request, budgets))
    pool.first(Use.BARE).interactive_seconds = min(budgets.values(), key=median)


def _rank(record: Record, request: Request, budgets: Mapping[int, list[float]], running: RunningSystem) -> None:
    """Measure one request; the bare engine with every batch size.

    The best size for much work is not the best for one request, whose lanes should finish at the same time.
    """
    if record.system.use is Use.BARE:
        for budget, seconds in budgets.items():
            seconds.append(running.rank(request, budget))
    else:
        record.interactive_seconds.append(running.rank(request, record.batch))


def _compare_scores(pool: SystemPool, request: Request) -> None:
    ours: list[float] = []
    for system in pool.systems():
        record = pool.records[system]
        scores = pool.ask(system, partial(_scores, request, record.batch)) or []
        ours = ours or scores
        if scores:
            record.score_difference = max(abs(mine - theirs) for mine, theirs in zip(ours, scores, strict=True))


def _scores(request: Request, batch: int | None, running: RunningSystem) -> list[float]:
    return running.scores(request, batch)
