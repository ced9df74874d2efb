"""Latency by load level, of what is served."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.entrants import ServedEntrant
from bench.field import Field
from bench.loop import run
from rerank_service.tools.loadtest.generator import Amount, closed
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.workload import Prepared


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """One contestant under one load."""

    contestant: str
    clients: int
    summary: Summary


def take(field: Field, entrants: Sequence[ServedEntrant], requests: Prepared) -> list[LoadLevel]:
    """Every level of every contestant, in turn by level; once, since a level lasts for many requests."""
    levels: list[LoadLevel] = []
    amount = Amount(seconds=field.options.level_seconds)
    for clients in field.options.level_clients:
        for entrant in entrants:
            field.say(f"{clients} clients of {entrant.contestant.name}")
            with entrant.on_turn():
                outcomes = run(
                    closed(entrant.target, requests, amount, clients=clients, deadline=field.options.level_deadline)
                )
            name = f"{entrant.contestant.name} {entrant.contestant.precision}".strip()
            levels.append(LoadLevel(name, clients, summarise(outcomes)))
    return levels
