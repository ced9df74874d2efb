"""Run the parts of the campaign one after the other, and write the summary."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.environments import ROOT, Say
from bench.event_loop import run as run_on_loop
from support.small import write_small_model
from torture.corpus import Entry
from torture.part import Outcome, Part
from torture.part_run import PartRun, RunOptions, small_model
from torture.parts import PARTS
from torture.progress import OUTPUT, Progress, ProgressFiles
from torture.server import started_server
from torture.summary import as_figures, as_json, as_table, write_page

_PAGE = ROOT / "docs" / "reliability.md"
_BLOCK, _SLICE_BLOCK = 200, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a campaign."""

    parts: Sequence[Part]
    seed: int
    minutes: float | None = None
    """Time of all parts together. None: until all inputs are tried."""
    fresh: bool = False
    slice: bool = False
    """Try the small number of inputs that CI tries, and keep no progress."""
    numbers: range | None = None
    """Try these inputs only, and keep no progress."""
    model: Path | None = None
    """Bundle to serve. None: the small model, which every machine can make."""
    keep: bool = False
    """Keep the progress in tests/torture/kept, and write the table of all kept progress to docs/reliability.md."""

    @property
    def continues(self) -> bool:
        """True if the progress of an earlier run counts."""
        return not (self.slice or self.numbers is not None)


def run_campaign(options: Options, say: Say) -> int:
    """Run the parts, print the table and write the summary. Return the number of failures."""
    files = ProgressFiles(OUTPUT)
    model = options.model or write_small_model(small_model()).folder
    ends = time.monotonic() + (math.inf if options.minutes is None else options.minutes * 60)
    done: list[tuple[Part, Progress]] = []
    try:
        for part in options.parts:
            progress = Progress(part=part.name, seed=options.seed, code=files.code)
            if options.continues and not options.fresh:
                progress = files.load(part, options.seed)
            left = len(options.parts) - len(done)
            part_options = _run_options(options, part, model, min(_now_plus(ends, left), ends))
            say(f"part {part.name}, seed {options.seed}: inputs {progress.tried:,} to {part_options.inputs:,}")
            done.append((part, progress))
            run_on_loop(part.run(PartRun(part, part_options, files, progress, say)))
    finally:  # also when the user stops it
        _write(options, files, done, say)
    return sum(len(progress.failures) for _, progress in done)


def _now_plus(ends: float, left: int) -> float:
    """Return the end of the next part: the time that is left is divided equally."""
    now = time.monotonic()
    return now + (ends - now) / left


def _run_options(options: Options, part: Part, model: Path, ends: float) -> RunOptions:
    return RunOptions(
        seed=options.seed,
        model=model,
        inputs=part.slice_inputs if options.slice else part.inputs,
        ends=ends,
        numbers=options.numbers,
        keeps=options.continues,
        block=part.block or (_SLICE_BLOCK if options.slice else _BLOCK),
    )


def _write(options: Options, files: ProgressFiles, done: Sequence[tuple[Part, Progress]], say: Say) -> None:
    shown = _shown(done)
    print(shown)
    if not options.continues:
        return
    summary = OUTPUT / "summary.json"
    summary.write_text(as_json(done))
    summary.with_suffix(".md").write_text(shown + "\n")
    say(f"written: {summary.relative_to(ROOT)} and summary.md")
    if options.keep:
        for _, progress in done:
            files.keep(progress)
        write_page(_PAGE, "parts", _shown(files.kept(PARTS, options.seed)))
        say(f"written: {_PAGE.relative_to(ROOT)}")


def _shown(done: Sequence[tuple[Part, Progress]]) -> str:
    return "\n\n".join(filter(None, (as_table(done), as_figures(done))))


def replay(part: Part, entry: Entry, model: Path | None, say: Say) -> int:
    """Try one case from a file at a new server. Return 1 if it fails."""

    async def attempt() -> tuple[Outcome, list[str]]:
        assert part.repeat is not None
        folder = model or write_small_model(small_model()).folder
        async with started_server(OUTPUT / "logs" / "replay.log", folder, part.flags) as server:
            outcome = await part.repeat(server, entry.case)
            return outcome, await server.problems()

    outcome, problems = run_on_loop(asyncio.wait_for(attempt(), timeout=None))
    problems = [problem for problem in (entry.problem(outcome), *problems) if problem]
    say(f"{outcome.kind}: {'; '.join(problems) or 'as expected'}")
    return int(bool(problems))
