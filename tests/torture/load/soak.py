"""The part `soak`: an hour at 90 % of the capacity, beside idle and slow connections."""

from dataclasses import dataclass, field

from rerank_service.models.files import STARTER
from rerank_service.tools.loadtest.summary import percentile
from torture.load.bystanders import bystanders
from torture.load.long_turns import long_turns
from torture.load.readings import readings
from torture.load.traffic import Traffic, traffic_to
from torture.load.trend import problem
from torture.part import Outcome, Part
from torture.part_run import PartRun
from torture.server import Server

_CAPACITY_SECONDS = 20.0
_SHARE = 0.9
_MINUTE = 60.0
_DEADLINE_SECONDS = 30.0
_MAX_GROWTH = 0.1
"""Growth of p99 and of the forecast error over the run / their mean, at most."""


@dataclass(slots=True)
class _Minutes:
    """Figures of the minutes."""

    p99: list[float] = field(default_factory=list)
    forecast_error: list[float] = field(default_factory=list)


async def _run(run: PartRun) -> None:
    async with run.server(STARTER) as server:
        traffic, minutes = traffic_to(server, run.options.seed), _Minutes()
        await traffic.capacity(_CAPACITY_SECONDS / 4)  # warms up
        rate = _SHARE * await traffic.capacity(_CAPACITY_SECONDS)
        async with bystanders(server) as count:
            await run.each(lambda _: _minute(run, server, traffic, rate, minutes), server=server)
            run.progress.facts["other connections opened"] = count.opened
        for found in (
            problem("p99", minutes.p99, _MAX_GROWTH),
            problem("forecast error", minutes.forecast_error, _MAX_GROWTH),
        ):
            if found:
                run.fail(found, f"0-{run.progress.tried - 1}")


async def _minute(run: PartRun, server: Server, traffic: Traffic, rate: float, minutes: _Minutes) -> Outcome:
    before = await readings(server.process.rest)
    async with long_turns(server.process.rest) as turns:
        calls = await traffic.at(rate, _MINUTE, _DEADLINE_SECONDS)
    since = (await readings(server.process.rest)).since(before)
    answered = [call.seconds for call in calls if call.error is None]
    minutes.p99.append(percentile(answered, 99))
    minutes.forecast_error.append(since.forecast_error)
    facts = run.progress.facts
    for name, value in (
        ("requests", len(calls)),
        ("rejected", sum(call.refused for call in calls)),
        *turns.facts().items(),
    ):
        facts[name] = facts.get(name, 0) + value
    facts["highest p99 of a minute, ms"] = round(1000 * max(minutes.p99), 1)
    wrong = [call for call in calls if call.error and not call.refused]
    problems = [f"{len(wrong)} of {len(calls)} requests failed: {wrong[0].error}, {wrong[0].message}"] if wrong else []
    problems += turns.problems()
    return Outcome("minute", "; ".join(problems))


SOAK = Part(
    name="soak",
    title="an hour of requests at 90 % of the capacity, beside 1,000 idle and 200 slow connections",
    run=_run,
    inputs=60,
    slice_inputs=0,
    block=1,
    memory_samples=40,
    one_version=True,
    overloads=True,
)
