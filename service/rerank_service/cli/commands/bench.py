"""`rerank bench`: measure a running server under load."""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command
from rerank_service.cli.output_file import check_writable, named_in_errors, write_text
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.cli.standard_output import write_then_print
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.quantities import counted

if TYPE_CHECKING:
    from rerank_service.tools.loadtest.load_report import Level, LoadReport
    from rerank_service.tools.loadtest.target import Target
    from rerank_service.tools.loadtest.workload import RepeatingRequests, Workload

_CLIENTS = "1,4,16,64"
_SECONDS = 10.0


def _configure(parser: argparse.ArgumentParser) -> None:
    add_server_arguments(parser)
    parser.add_argument(
        "--dialect",
        choices=("auto", "cohere", "tei"),
        default="auto",
        help="JSON format of a REST server; auto tries both (default: %(default)s)",
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--clients", metavar="N,N", help=f"load levels: numbers of concurrent clients (default: {_CLIENTS})"
    )
    load.add_argument(
        "--rate",
        type=float,
        metavar="N",
        help="requests per second, sent on schedule even if the server is slow; replaces --clients",
    )
    load.add_argument(
        "--seconds", type=float, metavar="S", help=f"duration of each level, in seconds (default: {_SECONDS:g})"
    )
    load.add_argument("--requests", type=int, metavar="N", help="number of requests per level; replaces --seconds")
    load.add_argument(
        "--documents", type=int, default=25, metavar="N", help="documents per request (default: %(default)s)"
    )
    load.add_argument(
        "--tokens",
        default="20-400",
        metavar="N-N",
        help="tokens per document, at least and at most (default: %(default)s)",
    )
    load.add_argument(
        "--deadline",
        type=float,
        metavar="S",
        help="deadline of each request, in seconds (default: that of the server, but at most 600 s)",
    )
    load.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the generated texts (default: %(default)s)"
    )
    output = parser.add_argument_group("output files")
    output.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a JSON file")
    output.add_argument("--png", type=Path, metavar="FILE", help="write a plot (requires the extra `bench`)")


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.tools.extra_packages import MATPLOTLIB, check_extra
    from rerank_service.tools.loadtest.address import target
    from rerank_service.tools.loadtest.dialects import Dialect

    levels, workload = _levels(arguments), _workload(arguments)
    if arguments.png:
        check_extra("bench", MATPLOTLIB)
    check_writable(arguments.json, arguments.png)
    dialect = None if arguments.dialect == "auto" else Dialect(arguments.dialect)
    address = chosen_server(arguments).address
    server = target(address, dialect=dialect, model=arguments.served_model, api_key=api_key(arguments))
    report = asyncio.run(_measure(arguments, address.target, server, workload, levels))
    write_then_print(_writes(arguments, report), lambda: _print(report))
    return 0 if any(level.summary.answered for level in report.levels) else 1


def _writes(arguments: argparse.Namespace, report: "LoadReport") -> Iterator[Callable[[], None]]:
    """Yield the functions that write the files, one each."""
    if arguments.json:
        yield lambda: write_text(arguments.json, json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    if arguments.png:
        yield lambda: _draw(arguments.png, report)


def _draw(png: Path, report: "LoadReport") -> None:
    from rerank_service.tools.loadtest.latency_plot import draw_load

    with named_in_errors(png):
        draw_load(report, png)


def _print(report: "LoadReport") -> None:
    from rerank_service.cli.output.bars import show_bars
    from rerank_service.cli.output.console import output_console, print_table
    from rerank_service.cli.output.loadtest import failure_lines, late_lines, load_rows, load_table
    from rerank_service.progress import stderr_console

    served = report.served
    title = " · ".join(filter(None, (report.server, served.model, served.precision, served.provider, served.detail)))
    console = output_console()
    print_table(console, load_table(title, report.levels))
    show_bars(console, "documents per second", load_rows(report.levels))
    errors = stderr_console()
    for line in (*late_lines(report.levels), *failure_lines(report.levels)):
        errors.print(line)


async def _measure(
    arguments: argparse.Namespace, address: str, server: "Target", workload: "Workload", levels: list[int]
) -> "LoadReport":
    from rerank_service.cli.output.loadtest import level_line
    from rerank_service.progress import is_terminal, stderr_console
    from rerank_service.tools.loadtest.load_report import LoadReport

    console = stderr_console()
    served = await server.probe()
    requests = workload.repeating()
    levels_measured: list[Level] = []
    first = 0
    for clients in levels:
        level = await _level(arguments, server, requests, clients, first=first)
        first = requests.next_round(first + level.summary.requests)
        levels_measured.append(level)
        if not is_terminal(console):
            console.print(level_line(level), soft_wrap=True)
    return LoadReport(address, served, workload, arguments.deadline, levels_measured)


async def _level(
    arguments: argparse.Namespace, server: "Target", requests: "RepeatingRequests", clients: int, *, first: int
) -> "Level":
    """Measure one load level. `clients` is 0 for requests at a fixed rate. `first` is the number of its first request:
    that of a new round, so that all levels have the same documents, and a score cache of the server has none of its
    pairs."""
    from rerank_service.cli.output.loadtest import level_progress
    from rerank_service.tools.loadtest.generator import Amount, closed_loop, open_loop
    from rerank_service.tools.loadtest.load_report import Level
    from rerank_service.tools.loadtest.summary import summarise

    seconds = arguments.seconds or _SECONDS
    rate = arguments.rate
    if rate:
        load, expected = f"{rate:g}/s", round(rate * seconds)
    else:
        load, expected = counted(clients, "client"), arguments.requests
    with level_progress(load, expected) as on_outcome:
        if rate:
            outcomes = await open_loop(
                server, requests, rate=rate, seconds=seconds, deadline=arguments.deadline, on_outcome=on_outcome
            )
        else:
            amount = Amount(requests=arguments.requests) if arguments.requests else Amount(seconds=seconds)
            outcomes = await closed_loop(
                server,
                requests,
                amount,
                clients=clients,
                deadline=arguments.deadline,
                first=first,
                on_outcome=on_outcome,
            )
    return Level(load, clients or None, rate, summarise(outcomes))


def _levels(arguments: argparse.Namespace) -> list[int]:
    """Return the number of clients of each level: 0 for requests at a fixed rate.

    Raises:
        SettingsInvalid: a number is not positive, or two options contradict each other.
    """
    for name in ("rate", "seconds", "requests", "documents", "deadline"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            raise SettingsInvalid(f"--{name} is {value:g}: give a number above 0")
    if arguments.seconds and arguments.requests:
        raise SettingsInvalid("--seconds and --requests are mutually exclusive: give one of them")
    if arguments.rate:
        if arguments.clients or arguments.requests:
            raise SettingsInvalid("--rate replaces --clients and --requests: remove these, or remove --rate")
        return [0]
    clients = arguments.clients or _CLIENTS
    try:
        levels = [int(part) for part in clients.split(",")]
    except ValueError:
        levels = []
    if not levels or min(levels) < 1:
        raise SettingsInvalid(
            f"--clients is {clients!r}: give whole numbers above 0, separated by commas, such as {_CLIENTS}"
        )
    return levels


def _workload(arguments: argparse.Namespace) -> "Workload":
    from rerank_service.tools.loadtest.workload import Lengths, Workload

    shortest, _, longest = arguments.tokens.partition("-")
    try:
        lengths = Lengths(int(shortest), int(longest or shortest))
    except ValueError:
        lengths = Lengths(0, 0)
    if not 0 < lengths.shortest <= lengths.longest:
        raise SettingsInvalid(f"--tokens is {arguments.tokens!r}: give a number above 0, or a range such as 20-400")
    return Workload(arguments.documents, lengths, seed=arguments.seed)


COMMAND = Command(
    help="measure a running server under load",
    description="Send generated requests to a running server, and show documents per second, latency and errors at "
    "each load level. Any server with a Cohere or TEI API works. The same --seed generates the same requests.",
    examples=(
        ("the server on this machine, at four load levels", f"{command_name()} bench"),
        (
            "another server, 16 clients, figures in a file",
            f"{command_name()} bench --server http://localhost:7997/rerank --clients 16 --json f.json",
        ),
    ),
    configure=_configure,
    run=_run,
    renamed={"--model": "--served-model"},
)
