"""The parts `equivalence` and `equivalence-cache`: each answer of a random history equals that of the request alone."""

from contextlib import AsyncExitStack
from functools import partial

from torture.equivalence.access_log import unfinished
from torture.equivalence.player import Player
from torture.equivalence.pool import answered, connected, requests
from torture.equivalence.swaps import Swaps, swapping
from torture.equivalence.versions import write_versions
from torture.part import Part
from torture.part_run import PartRun
from torture.progress import OUTPUT
from torture.server import started_server

_POOL = 600
"""Maximum number of different requests. The histories repeat them in any order."""
_REPEATS = 4
"""Least number of times that a history has each request, on average: a score cache needs equal ones."""
_CONCURRENCY = 64
_BUNDLES = OUTPUT / "equivalence"
_FLAGS = ("--admin-port", "0", "--bundles-root", str(_BUNDLES))


async def _run(run: PartRun, *, cached: bool) -> None:
    versions = write_versions(_BUNDLES)
    pool = requests(f"equivalence-{run.options.seed}", min(_POOL, max(1, run.options.inputs // _REPEATS)))
    async with AsyncExitStack() as stack:
        logs = OUTPUT / "logs"
        alone = [
            await stack.enter_async_context(
                started_server(logs / f"{run.part.name}-alone-{folder.name}.log", folder, ())
            )
            for folder in (versions.first, versions.second)
        ]
        known = await answered(pool, alone, run.say, cached=cached)
    async with run.server(versions.first) as server, connected(server) as clients:
        swaps = Swaps(versions)
        player = Player(known, clients, swaps, cached)
        async with swapping(swaps, str(server.ready["admin"])):
            await run.each(
                lambda number: player.play(number, run.random(number)),
                server=server,
                concurrency=_CONCURRENCY,
                beside=False,  # a request with a short deadline may make the server reject another one
            )
        for problem in await unfinished(server.process.process.log, player.waited, player.gone):
            run.fail(problem, "all")
        run.progress.facts["compared scores"] = run.progress.facts.get("compared scores", 0) + player.pairs
        run.progress.facts["hot swaps"] = run.progress.facts.get("hot swaps", 0) + swaps.done


EQUIVALENCE = Part(
    name="equivalence",
    title="random concurrent requests in all dialects, with cancels, deadlines and hot swaps; each answer equals that "
    "of the request alone",
    run=partial(_run, cached=False),
    flags=_FLAGS,
    inputs=120_000,
    slice_inputs=600,
)
EQUIVALENCE_CACHE = Part(
    name="equivalence-cache",
    title="the same with a score cache",
    run=partial(_run, cached=True),
    flags=(*_FLAGS, "--score-cache-bytes", "1000000"),
    inputs=60_000,
    slice_inputs=600,
)
