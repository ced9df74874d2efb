"""Latency of served systems by load level."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.event_loop import run
from bench.pool import SystemPool
from bench.running_systems import ServedSystem
from rerank_service.tools.loadtest.generator import Amount, closed_loop
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.workload import PreparedRequests


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """One served system under one load."""

    system: str
    clients: int
    summary: Summary


def take(pool: SystemPool, served: Sequence[ServedSystem], requests: PreparedRequests) -> list[LoadLevel]:
    """Measure every level of every system once; each level lasts for many requests."""
    levels: list[LoadLevel] = []
    amount = Amount(seconds=pool.options.level_seconds)
    for clients in pool.options.level_clients:
        for running in served:
            pool.say(f"{clients} clients of {running.system.name}")
            with running.on_turn():
                outcomes = run(
                    closed_loop(running.target, requests, amount, clients=clients, deadline=pool.options.level_deadline)
                )
            name = f"{running.system.name} {running.system.precision}".strip()
            levels.append(LoadLevel(name, clients, summarise(outcomes)))
    return levels
