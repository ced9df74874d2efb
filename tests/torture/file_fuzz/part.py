"""The part files."""

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rerank_service.models.files import MANIFEST
from support.command_lines import Outcome as CommandOutcome
from torture.file_fuzz.damage import damaged_file, with_new_digest
from torture.file_fuzz.process import CommandEnded, CommandProcess
from torture.file_fuzz.scenarios import MODEL, SERVER, Scenario, scenarios, write_models
from torture.part import Case, Outcome, Part
from torture.part_run import PartRun
from torture.progress import OUTPUT
from torture.server import Server

_PROCESSES = 2
_SHARE_OF_NEW_DIGESTS = 0.7
"""Share of damaged bundles whose manifest has the digest of the damaged file: others are rejected by it."""
_MAX_MESSAGE = 2_000
"""Longest line of an error, in characters."""
_DONE, _FAILED, _WRONG_SETTING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class FileCase:
    """An input: the title of a scenario, and the files in place of its own ones."""

    scenario: str
    files: dict[str, bytes]

    def as_json(self) -> Case:
        """Return the input as it is kept in a file."""
        return {"scenario": self.scenario, "files": {name: data.decode("latin-1") for name, data in self.files.items()}}


def case_of(content: Case) -> FileCase:
    """Return the input of `FileCase.as_json`."""
    return FileCase(content["scenario"], {name: data.encode("latin-1") for name, data in content["files"].items()})


class Workplace:
    """A folder with the files of all scenarios, and a process that runs their commands there."""

    def __init__(self, folder: Path, server: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        write_models(folder)
        self.scenarios = {scenario.title: scenario for scenario in scenarios(folder)}
        """All scenarios by their titles."""
        self._server = server
        self._process = CommandProcess(folder)
        for scenario in self.scenarios.values():
            self._write({**scenario.files, **scenario.beside})

    async def try_case(self, case: FileCase) -> Outcome:
        """Put the damaged files in their places, run the command, and put the valid files back."""
        scenario = self.scenarios[case.scenario]
        self._write(case.files)
        try:
            outcome = await self._process.run(
                *(self._server if part == SERVER else part for part in scenario.arguments)
            )
        except CommandEnded as error:
            return Outcome(f"{scenario.name}: died", f"{scenario.arguments}: {error}", case.as_json())
        finally:
            self._write({name: scenario.files[name] for name in case.files})
        problem = problem_of(scenario, outcome)
        words = {_DONE: "done", _FAILED: "rejected", _WRONG_SETTING: "rejected"}.get(
            outcome.status, str(outcome.status)
        )
        return Outcome(f"{scenario.name}: {words}", problem, case.as_json() if problem else None)

    async def stop(self) -> None:
        """End the process."""
        await self._process.stop()

    def _write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self._process.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def problem_of(scenario: Scenario, outcome: CommandOutcome) -> str:
    """Return why the end of a command is wrong; empty if it is right.

    A command that fails ends with one line that names a file. No command writes a traceback.
    """
    if "Traceback" in outcome.stderr:
        return f"a traceback: {outcome.stderr[-_MAX_MESSAGE:]}"
    if outcome.status == _DONE:
        return ""
    if outcome.status not in (_FAILED, _WRONG_SETTING):
        return f"status {outcome.status}: {outcome.stderr[-_MAX_MESSAGE:]}"
    line = outcome.stderr.rstrip("\n").rpartition("\n")[2]
    if not line.startswith("rerank: ") or not line.isprintable() or len(line) > _MAX_MESSAGE:
        return f"no line for people: {line[:_MAX_MESSAGE]!r}"
    return "" if any(_has_path(line, path) for path in scenario.paths()) else f"the message names no file: {line}"


def _has_path(line: str, path: str) -> bool:
    """Return whether a line has a path as a whole, or a path in this folder."""
    return re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w-])", line) is not None


def make_case(run: PartRun, number: int, known: Mapping[str, Scenario]) -> FileCase:
    """Return the input with a number: one damaged file, and sometimes a manifest that has its digest."""
    rng = run.random(number)
    chosen = rng.choice(list(known))
    files = known[chosen].files
    name = rng.choice(sorted(files))
    changed = {name: damaged_file(rng, name, files[name])}
    manifest = f"{MODEL}/{MANIFEST}"
    if manifest in files and name != manifest and rng.random() < _SHARE_OF_NEW_DIGESTS:
        digest = hashlib.sha256(changed[name]).hexdigest()
        changed[manifest] = with_new_digest(files[manifest], name.rpartition("/")[2], digest)
    return FileCase(chosen, changed)


@asynccontextmanager
async def _workplaces(folder: Path, server: Server) -> AsyncIterator[asyncio.Queue[Workplace]]:
    """Yield the workplaces that are free."""
    places = [Workplace(folder / str(number), server.grpc) for number in range(_PROCESSES)]
    free: asyncio.Queue[Workplace] = asyncio.Queue()
    for place in places:
        free.put_nowait(place)
    try:
        yield free
    finally:
        for place in places:
            await place.stop()


async def _run(run: PartRun) -> None:
    async with run.server() as server, _workplaces(OUTPUT / "files", server) as free:

        async def attempt(number: int) -> Outcome:
            place = await free.get()
            try:
                return await place.try_case(make_case(run, number, place.scenarios))
            finally:
                free.put_nowait(place)

        await run.each(attempt, server=server, concurrency=_PROCESSES)


async def _repeat(server: Server, case: Case) -> Outcome:
    place = Workplace(OUTPUT / "files" / "repeated", server.grpc)
    try:
        return await place.try_case(case_of(case))
    finally:
        await place.stop()


FILES = Part(
    name="files",
    title="damaged input files, collections and models, read by the commands",
    run=_run,
    inputs=100_000,
    slice_inputs=150,
    repeat=_repeat,
)
