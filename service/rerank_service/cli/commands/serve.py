"""`rerank serve`: the server."""

import argparse
import asyncio
import os
import re
import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import structlog
from pydantic_settings import CliSettingsSource

from rerank_service.cli.commands import Command
from rerank_service.cli.server_arguments import API_KEY, CLIENT_VARIABLES
from rerank_service.settings import Settings, read_settings, without_empty

_METAVARS = {
    "Path": "FOLDER",
    "str": "TEXT",
    "int": "N",
    "float": "SECONDS",
    "ByteSize": "BYTES",
    "tuple[str,...]": "NAME,NAME",
    "tuple[SecretStr,...]": "KEY,KEY",
}
"""What a value is called in --help, by its type."""
_NOTHING = re.compile(r" \(default: (None|\(\))\)$")
"""Of settings that are unset, whose help says what that means."""


class _Flags(CliSettingsSource[Settings]):
    """The settings as flags."""

    def _metavar_format(self, obj: Any) -> str:
        """Types of Python say little on a command line."""
        form = super()._metavar_format(obj)
        return _METAVARS.get(form, form)

    def _help_format(self, field_name: str, *arguments: Any, **options: Any) -> str:
        return _NOTHING.sub("", super()._help_format(field_name, *arguments, **options))


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(settings=_Flags(Settings, root_parser=parser, add_argument_method=_add))


def _add(parser: Any, *names: str, **options: Any) -> None:
    if options.get("dest") == "api_keys_file":  # the one path of a file
        options["metavar"] = "FILE"
    parser.add_argument(*names, **options)


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.lifecycle.background import background_work_is_running
    from rerank_service.observability.logs import configure_logging
    from rerank_service.server import Addresses, serve

    settings = _settings(arguments)
    configure_logging(settings.log_format, settings.log_level)
    _warn_of_strange_variables(settings)

    async def on_ready(addresses: Addresses) -> None:
        if settings.example:
            from rerank_service.cli.output.welcome import welcome

            with suppress(OSError):  # nobody reads what is printed
                await welcome(addresses, [key.get_secret_value() for key in settings.api_keys])

    asyncio.run(serve(settings, on_ready))
    if background_work_is_running():
        sys.stdout.flush()
        os._exit(0)
    return 0


def _warn_of_strange_variables(settings: Settings) -> None:
    """Warn about variables that set nothing: RERANK_API_KEY for RERANK_API_KEYS would leave the server open."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    has_keys = bool(settings.api_keys or settings.api_keys_file)
    ignored = known.union(CLIENT_VARIABLES) - (set() if has_keys else {API_KEY})
    for name in sorted(os.environ.keys() - ignored):
        if name.startswith("RERANK_"):
            meant = get_close_matches(name, known, n=1)
            structlog.get_logger().warning("unknown variable", name=name, meant=meant[0] if meant else None)


def _settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(_cli_settings_source=arguments.settings(parsed_args=without_empty(vars(arguments))))


COMMAND = Command(
    help="serve a model over gRPC and REST",
    description="Serve a model over gRPC and REST until SIGTERM or Ctrl-C, then answer what is in flight and end. "
    "Every option is also a variable, RERANK_ and its name in capitals: --grpc-port is RERANK_GRPC_PORT.",
    configure=_configure,
    run=_run,
)
