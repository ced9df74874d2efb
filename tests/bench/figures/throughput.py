"""Documents per second of every system, on the same work, in turns and rounds."""

from collections.abc import Sequence

from bench.pool import SystemPool
from bench.running_systems import RunningSystem
from bench.systems import Kind, System, Use
from rerank_service.tools.loadtest.workload import PreparedRequests, Workload


def work_for(pool: SystemPool, ours: System, workload: Workload) -> PreparedRequests:
    """Return enough requests to keep this server busy for a turn."""
    options = pool.options
    requests = workload.prepared(options.least_requests)
    pool.ask(ours, lambda running: _speed(running, requests, None))  # warms up
    speed = pool.ask(ours, lambda running: _speed(running, requests, None)) or 0.0
    wanted = round(speed * options.turn_seconds / workload.documents)
    return workload.prepared(max(options.least_requests, wanted))


def part_of(requests: PreparedRequests) -> PreparedRequests:
    """Return a quarter of the requests: enough to warm up and to compare batch sizes."""
    return PreparedRequests(requests.requests[: max(1, len(requests.requests) // 4)])


def find_best_batches(pool: SystemPool, requests: PreparedRequests) -> None:
    """Find the best batch size of each tuned system; the others warm up.

    Peers use part of the work, the bare engine all of it.
    """
    for system in pool.systems():
        if not system.is_tuned or system.kind is not Kind.RUNNER:
            pool.ask(system, lambda running: _speed(running, part_of(requests), None))
        elif system.use is Use.BARE:
            _find_best(pool, system, requests, pool.options.budgets)
        else:
            _find_best(pool, system, part_of(requests), pool.options.batches)


def _find_best(pool: SystemPool, system: System, requests: PreparedRequests, sizes: Sequence[int]) -> None:
    def speeds(running: RunningSystem) -> dict[int, float]:
        _speed(running, requests, max(sizes))  # warms up
        return {size: _speed(running, requests, size) for size in sizes}

    if by_size := pool.ask(system, speeds):
        pool.records[system].batch = max(by_size, key=by_size.__getitem__)
        listed = ", ".join(f"{size}: {speed:.1f}" for size, speed in by_size.items())
        pool.say(f"{system.name} {system.precision}: documents/s by batch {listed}")


def take_rounds(pool: SystemPool, ours: System, requests: PreparedRequests) -> None:
    """Let each system work once per round, in the order A B C, A B C."""
    for turn in range(pool.options.rounds):
        pool.say(f"throughput, round {turn + 1} of {pool.options.rounds}")
        for system in pool.systems():
            pool.work(system, requests)
    for record in pool.records.values():
        record.ours = list(pool.records[ours].documents_per_second)


def _speed(running: RunningSystem, requests: PreparedRequests, batch: int | None) -> float:
    return running.work(requests, repeats=1, clients=len(requests.requests), batch=batch).documents_per_second
