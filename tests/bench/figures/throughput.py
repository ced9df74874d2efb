"""Documents a second of every contestant: the same work, in turn, round by round."""

from collections.abc import Sequence

from bench.contestants import Contestant, Kind, Use
from bench.entrants import Entrant
from bench.field import Field
from rerank_service.tools.loadtest.workload import Prepared, Workload


def work_for(field: Field, bare: Contestant, workload: Workload) -> Prepared:
    """As many requests as keep the bare engine busy for a turn, so that a fast machine has enough to do."""
    options = field.options
    requests = workload.prepared(options.least_requests)
    field.ask(bare, lambda entrant: _speed(entrant, requests, None))  # warms up
    speed = field.ask(bare, lambda entrant: _speed(entrant, requests, None)) or 0.0
    wanted = round(speed * options.turn_seconds / workload.documents)
    return workload.prepared(max(options.least_requests, wanted))


def part_of(requests: Prepared) -> Prepared:
    """Enough to warm up, and to see which of two batch sizes is better."""
    return Prepared(requests.requests[: max(1, len(requests.requests) // 4)])


def find_best_batches(field: Field, requests: Prepared) -> None:
    """The batch size of each that is tuned: of peers on part of the work, of the bare engine on all of it. The others
    warm up."""
    for contestant in field.running():
        if not contestant.is_tuned or contestant.kind is not Kind.RUNNER:
            field.ask(contestant, lambda entrant: _speed(entrant, part_of(requests), None))
        elif contestant.use is Use.BARE:
            _find_best(field, contestant, requests, field.options.budgets)
        else:
            _find_best(field, contestant, part_of(requests), field.options.batches)


def _find_best(field: Field, contestant: Contestant, requests: Prepared, sizes: Sequence[int]) -> None:
    def speeds(entrant: Entrant) -> dict[int, float]:
        _speed(entrant, requests, max(sizes))  # warms up
        return {size: _speed(entrant, requests, size) for size in sizes}

    if found := field.ask(contestant, speeds):
        field.records[contestant].batch = max(found, key=found.__getitem__)
        said = ", ".join(f"{size}: {speed:.1f}" for size, speed in found.items())
        field.say(f"{contestant.name} {contestant.precision}: documents/s by batch {said}")


def take_rounds(field: Field, requests: Prepared) -> None:
    """A B C A B C and so on, each once a round."""
    for turn in range(field.options.rounds):
        field.say(f"throughput, round {turn + 1} of {field.options.rounds}")
        for contestant in field.running():
            field.work(contestant, requests)


def _speed(entrant: Entrant, requests: Prepared, batch: int | None) -> float:
    return entrant.work(requests, repeats=1, clients=len(requests.requests), batch=batch).documents_per_second
