"""`rerank doctor`: check this machine and the settings of the server."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rerank_service.cli.commands import WIDE_HELP, Command
from rerank_service.cli.settings_arguments import add_settings, given_settings
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rerank_service.tools.doctor.finding import Finding


def _configure(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output and checks")
    group.add_argument("--json", action="store_true", help="print each finding as a line of JSON")
    group.add_argument("--wide", action="store_true", help=WIDE_HELP)
    group.add_argument("--quick", action="store_true", help="do not load the models, and score no golden pairs")
    add_settings(parser)


def _findings(arguments: argparse.Namespace) -> "Iterator[Finding]":
    from rerank_service.cli.doctor_checks import machine_checks, settings_checks
    from rerank_service.errors import SettingsInvalid
    from rerank_service.tools.doctor.checks import run_checks
    from rerank_service.tools.doctor.finding import wrong

    yield from run_checks(machine_checks())
    try:
        settings = given_settings(arguments)
    except SettingsInvalid as error:
        yield wrong("settings", str(error), f"change the setting; `{command_name()} serve --help` has all values")
        return
    yield from run_checks(settings_checks(settings, loads=not arguments.quick))


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.cli.output.console import is_wide, output_console, print_table
    from rerank_service.cli.output.findings import finding_json, findings_summary, findings_table
    from rerank_service.observability.logs import configure_logging
    from rerank_service.tools.doctor.finding import any_wrong

    configure_logging("auto", "critical")  # the findings say the same as the log lines of a start
    findings = []
    for finding in _findings(arguments):
        findings.append(finding)
        if arguments.json:
            print(finding_json(finding), flush=True)
    if not arguments.json:
        console = output_console(wide=arguments.wide)
        print_table(console, findings_table(findings, wide=is_wide(console)))
        console.print(findings_summary(findings))
    return int(any_wrong(findings))


COMMAND = Command(
    help="check this machine and the settings: engines, limits, ports, files, models",
    description="Check Python and its packages, the processor, limits of cores and memory, the engines, and the "
    "settings: ports, files of TLS and keys, cache, and models with the engine that a start would choose. The "
    "settings are those of `rerank serve`. No server is started. Each finding is ok, slow or wrong. The exit status is "
    "0 if nothing is wrong, else 1.",
    examples=(
        ("this machine, with the bundled starter model", f"{command_name()} doctor"),
        ("before a start with these settings", f"{command_name()} doctor --model out/my-model --host ::"),
        ("for programs, without loading a model", f"{command_name()} doctor --json --quick"),
    ),
    configure=_configure,
    run=_run,
)
