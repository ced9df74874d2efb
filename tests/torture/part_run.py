"""The inputs of one part: numbered, tried in blocks, continued after an interruption."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench.environments import Say
from torture.blocks import EndedBlock, ended_blocks
from torture.corpus import entries
from torture.part import Case, Failure, Outcome, Part
from torture.progress import OUTPUT, Progress, ProgressFiles
from torture.resources import ServerResources, sample
from torture.server import Server, ServerEnded, quiet, started_server
from torture.steady import Steady, steady_requests

_MAX_FAILURES = 50
"""Number of failures after which a part ends: one fault may hit each input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a part's run."""

    seed: int
    model: Path | None
    inputs: int
    """Number of inputs after which the part ends."""
    ends: float
    """Time of `time.monotonic` at which it ends earlier."""
    block: int
    """Number of inputs between two checks of the server."""
    numbers: range | None = None
    """Try these inputs only."""
    keeps: bool = True
    """Keep the progress, so that a later run continues."""


class PartRun:
    """A run of a part. Parts use its methods; the campaign reads its progress."""

    def __init__(self, part: Part, options: RunOptions, files: ProgressFiles, progress: Progress, say: Say) -> None:
        self.part = part
        self.options = options
        self.progress = progress
        self._files = files
        self.say = say
        self._resources: ServerResources | None = None
        self._began = time.monotonic()

    def random(self, number: int) -> random.Random:
        """Return the generator of an input. It depends on the part, the seed and the number only."""
        return random.Random(f"{self.part.name}-{self.options.seed}-{number}")

    @asynccontextmanager
    async def server(self, model: Path | None = None) -> AsyncIterator[Server]:
        """Start a server for the block, and try the corpus. At the end, check that the server is whole, and no larger
        than before. `model` is the bundle of the part, in place of that of the campaign."""
        async with started_server(self._log(), model or self.options.model, self.part.flags) as server:
            await self._try_corpus(server)
            await self._try_earlier_failures(server)
            self._resources = resources = ServerResources(sample(server.pid, 0.0), self.part.memory_samples)
            yield server
            try:
                problems = resources.left_open(await quiet(server, float(self.progress.tried), resources.before))
                problems += await server.problems()
            except (ServerEnded, FileNotFoundError) as error:
                problems = [str(error)]
            grown = resources.growth()
            self.progress.growth.append(grown)
            for problem in (*problems, *grown.problems()):
                self.fail(problem, f"0-{max(self.progress.tried - 1, 0)}")
            self._store()

    async def _try_corpus(self, server: Server) -> None:
        if self.part.repeat is None or self.options.numbers is not None:
            return
        for name, entry in entries(self.part.name).items():
            outcome = await self.part.repeat(server, entry.case)
            if problem := entry.problem(outcome):
                self.fail(problem, name, entry.case)

    async def _try_earlier_failures(self, server: Server) -> None:
        """Try the failures of earlier versions again. Those without a case are only shown."""
        earlier, self.progress.earlier_failures = self.progress.earlier_failures, []
        for failure in earlier:
            if self.part.repeat is None or failure.case is None:
                self.say(f"failed with an earlier version: {failure.problem}\n  repeat: {failure.command}")
                continue
            outcome = await self.part.repeat(server, failure.case)
            if outcome.problem:
                self.fail(outcome.problem, failure.numbers, failure.case)

    def _log(self) -> Path:
        return OUTPUT / "logs" / f"{self.part.name}-{self.options.seed}.log"

    async def each(
        self,
        attempt: Callable[[int], Awaitable[Outcome]],
        *,
        server: Server | None = None,
        concurrency: int = 1,
        beside: bool = True,
        restore: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Try inputs, several at a time, until the part has tried enough or its time is up.

        Args:
            attempt: tries the input with a number. It must not raise.
            server: the server that is checked after each block; None if the part has none.
            concurrency: number of inputs at a time.
            beside: send small requests meanwhile, which must be answered correctly.
            restore: undoes changes of the server that inputs may make on purpose. Called after each block.
        """

        places = asyncio.Semaphore(concurrency)

        async def tried(numbers: range) -> list[Outcome]:
            outcomes = await _tried(attempt, numbers, places)
            if restore is not None:
                await restore()
            return outcomes

        steady_ones: AbstractAsyncContextManager[Steady] = nullcontext(Steady())
        if server is not None and beside:
            steady_ones = steady_requests(server, may_be_rejected=self.part.overloads)
        one_by_one = concurrency == 1 or restore is not None
        async with (
            steady_ones as steady,
            aclosing(ended_blocks(self._blocks(), tried, one_by_one=one_by_one)) as blocks,
        ):
            async for block in blocks:
                if not await self._goes_on(block, server, steady):
                    return

    async def _goes_on(self, block: EndedBlock, server: Server | None, steady: Steady) -> bool:
        """Note the outcomes of a block, and check the server. Return False if the part must end."""
        for number, outcome in zip(block.numbers, block.outcomes, strict=True):
            self.progress.outcomes[outcome.kind] += 1
            if outcome.problem:
                self.fail(outcome.problem, str(number), outcome.case)
        correct, problems = steady.take()
        self.progress.steady += correct
        self.progress.tried += len(block.numbers)
        try:
            problems += await self._checked(server)
        except (ServerEnded, FileNotFoundError) as error:
            self.fail(str(error), block.suspects)
            return False
        for problem in problems:
            self.fail(problem, block.suspects)
        self._store()
        return len(self.progress.failures) < _MAX_FAILURES

    def _blocks(self) -> Iterator[range]:
        """Yield the numbers of the blocks, until the part has tried enough or its time is up."""
        if self.options.numbers is not None:
            yield self.options.numbers
            return
        for start in range(self.progress.tried, self.options.inputs, self.options.block):
            if time.monotonic() >= self.options.ends:
                return
            yield range(start, min(start + self.options.block, self.options.inputs))

    async def _checked(self, server: Server | None) -> list[str]:
        if server is None:
            return []
        problems = await server.problems()
        if self._resources is not None:
            self._resources.add(sample(server.pid, float(self.progress.tried)))
        return problems

    def fail(self, problem: str, numbers: str, case: Case | None = None) -> None:
        """Note a failure of an input, or of several ones."""
        words = [f"make torture ONLY={self.part.name} SEED={self.options.seed} INPUT={numbers}"]
        words += [f"MODEL={self.options.model}"] if self.options.model and self.options.model != small_model() else []
        failure = Failure(problem, numbers, " ".join(words), case)
        self.progress.failures.append(failure)
        path = self._files.keep_failure(self.progress, failure)
        self.say(f"FAILED {problem}\n  repeat: {failure.command}\n  input: {path}")

    def _store(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._began
        self._began = now
        if self.options.keeps:
            self._files.store(self.progress)
        progress = self.progress
        self.say(f"{progress.part}: {progress.tried:,} inputs, {len(progress.failures)} failures")


async def _tried(
    attempt: Callable[[int], Awaitable[Outcome]], numbers: range, places: asyncio.Semaphore
) -> list[Outcome]:

    async def one(number: int) -> Outcome:
        async with places:
            return await attempt(number)

    return await asyncio.gather(*(one(number) for number in numbers))


def small_model() -> Path:
    """Return the folder of the small model of the campaign."""
    return OUTPUT / "model"
