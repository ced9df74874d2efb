"""Seconds of one request of 25 documents, alone on the machine."""

from collections.abc import Mapping
from functools import partial
from statistics import median

from bench.contestants import OURS, Use
from bench.entrants import Entrant
from bench.field import Field, Record
from rerank_service.tools.loadtest.workload import Prepared, Request


def take_turns(field: Field, requests: Prepared) -> None:
    """Request by request, each contestant in turn; ours more often, since the ratio of those two is a narrow one. The
    first request warms up, and its scores show that all run the same model."""
    field.say("one interactive request at a time")
    _compare_scores(field, requests.requests[0])
    budgets: dict[int, list[float]] = {budget: [] for budget in field.options.budgets}
    for number, request in enumerate(requests.requests[1:]):
        for contestant in field.running():
            if contestant.peer == OURS or number < field.options.interactive_requests_of_peers:
                field.ask(contestant, partial(_rank, field.records[contestant], request, budgets))
    field.only(Use.BARE).interactive_seconds = min(budgets.values(), key=median)


def _rank(record: Record, request: Request, budgets: Mapping[int, list[float]], entrant: Entrant) -> None:
    """The bare engine with every budget: what is best for much work is not for little, whose lanes shall end
    together."""
    if record.contestant.use is Use.BARE:
        for budget, seconds in budgets.items():
            seconds.append(entrant.rank(request, budget))
    else:
        record.interactive_seconds.append(entrant.rank(request, record.batch))


def _compare_scores(field: Field, request: Request) -> None:
    ours: list[float] = []
    for contestant in field.running():
        record = field.records[contestant]
        scores = field.ask(contestant, partial(_scores, request, record.batch)) or []
        ours = ours or scores
        if scores:
            record.score_difference = max(abs(one - other) for one, other in zip(ours, scores, strict=True))


def _scores(request: Request, batch: int | None, entrant: Entrant) -> list[float]:
    return entrant.scores(request, batch)
