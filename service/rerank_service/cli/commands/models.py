"""`rerank models`: list the models of a server, or known models that are worth using."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rerank_service.cli.commands import WIDE_HELP, Command
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name, export_command

if TYPE_CHECKING:
    from rerank.v1 import rerank_pb2 as pb
    from rerank_service.models.known_speed import MeasuredSpeed

_LIST_SECONDS = 60.0
"""Deadline of the list of a server."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print each model as a line of JSON")
    parser.add_argument("--wide", action="store_true", help=WIDE_HELP)
    add_server_arguments(parser, served_model=False)
    known = parser.add_argument_group(
        "known models",
        "Facts are those of the model cards. verified: the tests of `rerank export` cover the architecture. Speeds are "
        "estimates: the bundled model is measured for about a second, and the other models are taken to compute as "
        "many multiplications per second. 100 documents take at most 0.5 s (fast), 2 s (moderate), 10 s (slow), or "
        "longer (batch only).",
    )
    known.add_argument(
        "--known",
        action="store_true",
        help="list models worth using, with size, languages, token limit, licence, and estimated speed on this machine",
    )
    known.add_argument("--no-speed", action="store_true", help="with --known: measure nothing, and show no speeds")


async def _models(arguments: argparse.Namespace) -> "Sequence[pb.Model]":
    from rerank_service.tools.rest_client import client_of

    server, key = chosen_server(arguments).address, api_key(arguments)
    async with client_of(server, api_key=key, timeout=_LIST_SECONDS) as client:
        return await client.models()


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.cli.output.console import is_wide, output_console, print_table
    from rerank_service.cli.output.tables import model_json, model_table

    if arguments.known:
        _show_known(arguments)
        return 0
    if arguments.no_speed:
        raise SettingsInvalid("--no-speed needs --known: add it, or remove --no-speed")
    models = asyncio.run(_models(arguments))
    console = output_console(wide=arguments.wide)
    for model in models:
        if arguments.json:
            print(model_json(model))
        else:
            print_table(console, model_table(model, wide=is_wide(console)))
    return 0


def _show_known(arguments: argparse.Namespace) -> None:
    from rerank_service.cli.output.console import is_wide, output_console, print_table
    from rerank_service.cli.output.known_models import known_json, known_note, known_table
    from rerank_service.models.known_models import known_models

    if arguments.server is not None:
        raise SettingsInvalid(f"--known asks no server: remove --server {arguments.server}, or --known")
    known, speed = known_models(), None if arguments.no_speed else _measured()
    if arguments.json:
        for model in known.models:
            print(known_json(model, speed))
        return
    console = output_console(wide=arguments.wide)
    print_table(console, known_table(known.models, speed, wide=is_wide(console)))
    export = export_command()
    for line in (known_note(speed), f"facts checked on {known.checked}; make a bundle: `{export}`"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _measured() -> "MeasuredSpeed":
    """Measure the bundled model with the engine settings of the environment."""
    from dataclasses import replace

    from rerank_service.engine.host import limit_tokenizer_threads
    from rerank_service.models.files import STARTER
    from rerank_service.models.known_speed import measure_speed
    from rerank_service.progress import stages
    from rerank_service.settings import read_settings
    from rerank_service.wiring import single_model_options

    limit_tokenizer_threads()
    options = replace(single_model_options(read_settings(model=STARTER)), digest=None)
    with stages() as stage:
        stage("measuring the bundled model")
        return measure_speed(options)


COMMAND = Command(
    help="list the models of a running server, or models worth using",
    description="List the models of a running server with their names, engine and limits. The first is the default. "
    "With --known, list models worth using instead, without a server.",
    examples=(
        ("a server on this machine", f"{command_name()} models"),
        ("another server, over REST", f"{command_name()} models --server http://10.0.0.7:8080"),
        ("models worth using, with their speed on this machine", f"{command_name()} models --known"),
        (
            "names of models that serve many languages, for scripts",
            f"{command_name()} models --known --no-speed --json | jq -r 'select(.languages != \"English\") | .name'",
        ),
    ),
    configure=_configure,
    run=_run,
)
