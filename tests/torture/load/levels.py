"""The part `load`: requests arrive at 10 to 300 % of the capacity."""

from rerank_service.models.files import STARTER
from rerank_service.tools.loadtest.generator import Outcome as Call
from rerank_service.tools.loadtest.summary import percentile
from torture.load.long_turns import long_turns
from torture.load.readings import AccessLog, Ended
from torture.load.traffic import Traffic, goodput, traffic_to
from torture.part import Outcome, Part
from torture.part_run import PartRun
from torture.server import Server

PERCENTAGES = (10, 50, 90, 150, 300)
DEADLINE_SECONDS = 5.0
LEAST_GOODPUT = 0.9
"""Goodput at the highest load / the best of all loads, at least."""
MAX_UNREJECTED = 50
"""Largest load, in percent, of which no request may be rejected. At 90 %, some must be: the wait grows with
1 / (1 - load), and with sizes that differ as much as here, about one request in forty waits for more than 5 s."""
_CAPACITY_SECONDS = 20.0
_LEVEL_SECONDS = 60.0


async def _run(run: PartRun) -> None:
    async with run.server(STARTER) as server:
        traffic = traffic_to(server, run.options.seed)
        await traffic.capacity(_CAPACITY_SECONDS / 4)  # warms up
        capacity = await traffic.capacity(_CAPACITY_SECONDS)
        run.progress.facts["capacity, requests/s"] = round(capacity, 1)
        await run.each(lambda number: _level(run, server, traffic, capacity, PERCENTAGES[number]), server=server)
        if problem := _lost_goodput(run.progress.facts):
            run.fail(problem, f"0-{len(PERCENTAGES) - 1}")


async def _level(run: PartRun, server: Server, traffic: Traffic, capacity: float, percent: int) -> Outcome:
    log = AccessLog(server.process.process.log)
    async with long_turns(server.process.rest) as turns:
        calls = await traffic.at(capacity * percent / 100, _LEVEL_SECONDS, DEADLINE_SECONDS)
    ended = log.ended()
    facts = _figures(calls, ended) | turns.facts()
    run.progress.facts |= {f"{percent} %: {name}": value for name, value in facts.items()}
    problems = [*_wrong(calls), *rejected(calls, percent), *_late(ended), *turns.problems()]
    return Outcome(f"{percent} %", "; ".join(problems))


def _figures(calls: list[Call], ended: list[Ended]) -> dict[str, float]:
    answered = [call.seconds for call in calls if call.error is None]
    return {
        "requests": len(calls),
        "goodput, documents/s": round(goodput(calls), 1),
        "answered": len(answered),
        "rejected": sum(call.refused for call in calls),
        "p50, ms": round(1000 * percentile(answered, 50), 1),
        "p99, ms": round(1000 * percentile(answered, 99), 1),
        "longest at the server, s": round(max((each.seconds for each in ended), default=0.0), 2),
    }


def _wrong(calls: list[Call]) -> list[str]:
    """Return the errors that are neither a rejection nor a missed deadline."""
    wrong = [call for call in calls if call.error and not call.refused and call.error != "no answer in time"]
    return [f"{len(wrong)} requests failed: {wrong[0].error}, {wrong[0].message}"] if wrong else []


def rejected(calls: list[Call], percent: int) -> list[str]:
    """Return the rejections of a load at which the server must answer every request."""
    count = sum(call.refused for call in calls)
    return [f"{count} of {len(calls)} requests were rejected"] if count and percent <= MAX_UNREJECTED else []


def _late(ended: list[Ended]) -> list[str]:
    """Return the requests that ended later than their deadline by more than one batch.

    A request of one document is in one batch, so its inference is the time of a batch.
    """
    batch = max((each.inference_seconds for each in ended if each.documents == 1), default=0.0)
    late = [each.seconds for each in ended if each.seconds > DEADLINE_SECONDS + batch]
    if not late:
        return []
    bound = f"{DEADLINE_SECONDS + batch:.2f} s, their deadline and a batch"
    return [f"{len(late)} requests ended after {bound}; the last after {max(late):.2f} s"]


def _lost_goodput(facts: dict[str, float]) -> str:
    found = {percent: facts.get(f"{percent} %: goodput, documents/s") for percent in PERCENTAGES}
    measured = {percent: value for percent, value in found.items() if value is not None}
    if PERCENTAGES[-1] not in measured:
        return ""
    best, last = max(measured.values()), measured[PERCENTAGES[-1]]
    if last >= LEAST_GOODPUT * best:
        return ""
    return f"goodput at {PERCENTAGES[-1]} % is {last:.1f} of {best:.1f} documents/s; at least {LEAST_GOODPUT:.0%}"


LOAD = Part(
    name="load",
    title="requests of mixed sizes over both protocols arrive at 10, 50, 90, 150 and 300 % of the capacity",
    run=_run,
    inputs=len(PERCENTAGES),
    slice_inputs=0,
    block=1,
    one_version=True,
    overloads=True,
)
