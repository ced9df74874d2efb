"""`rerank serve`: run the server."""

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import structlog
from pydantic_settings import CliSettingsSource

from rerank_service.cli.commands import Command
from rerank_service.cli.model_errors import named_model
from rerank_service.cli.server_arguments import API_KEY, CLIENT_VARIABLES
from rerank_service.cli.settings_help import default_text, groups
from rerank_service.installation import command_name
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
"""Name of a value in --help, by its Python type."""
_METAVAR_OF = {
    "api_keys_file": "FILE",
    "tls_cert": "FILE",
    "tls_key": "FILE",
    "tls_client_ca": "FILE",
    "host": "ADDRESS,ADDRESS",
    "cors_origins": "ORIGIN,ORIGIN",
    "forwarded_allow_ips": "ADDRESS,ADDRESS",
}
"""Name of the value of a setting for which the type says too little."""


class _Flags(CliSettingsSource[Settings]):
    """Settings from flags."""

    def _metavar_format(self, obj: Any) -> str:
        """Return the name of a value, such as SECONDS instead of float."""
        type_name = super()._metavar_format(obj)
        return _METAVARS.get(type_name, type_name)

    def _help_format(self, field_name: str, *_arguments: Any, **_options: Any) -> str:
        """Return the docstring of a setting with its default. The docstring of an unset setting explains it."""
        description, default = Settings.model_fields[field_name].description or "", default_text(field_name)
        return f"{description} (default: {default})".replace("%", "%%") if default else description.replace("%", "%%")


def _configure(parser: argparse.ArgumentParser) -> None:
    group_of = {}
    for heading, names in groups().items():
        group_of.update(dict.fromkeys(names, parser.add_argument_group(heading)))

    def add_flag(_parser: Any, *flags: str, dest: str, **options: Any) -> None:
        if dest in _METAVAR_OF:
            options["metavar"] = _METAVAR_OF[dest]
        group_of[dest].add_argument(*flags, dest=dest, **options)

    parser.set_defaults(settings=_Flags(Settings, root_parser=parser, add_argument_method=add_flag))


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.lifecycle.background import background_work_is_running
    from rerank_service.observability.logs import configure_logging
    from rerank_service.server import Addresses, serve

    settings = _settings(arguments)
    configure_logging(settings.log_format, settings.log_level)
    _warn_of_unknown_variables(settings)

    async def on_ready(addresses: Addresses) -> None:
        if settings.example:
            from rerank_service.cli.output.welcome import welcome

            with suppress(OSError):  # stdout has no reader
                await welcome(addresses, [key.get_secret_value() for key in settings.api_keys])

    with named_model(settings.model):
        asyncio.run(serve(settings, on_ready))
    if background_work_is_running():
        sys.stdout.flush()
        os._exit(0)
    return 0


def _warn_of_unknown_variables(settings: Settings) -> None:
    """Warn about variables without effect. RERANK_API_KEY instead of RERANK_API_KEYS would leave the server open."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    has_keys = bool(settings.api_keys or settings.api_keys_file)
    ignored = known.union(CLIENT_VARIABLES) - (set() if has_keys else {API_KEY})
    for name in sorted(os.environ.keys() - ignored):
        if name.startswith("RERANK_"):
            nearest = get_close_matches(name, known, n=1)
            structlog.get_logger().warning("unknown variable", name=name, did_you_mean=nearest[0] if nearest else None)


def _settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(_cli_settings_source=arguments.settings(parsed_args=without_empty(vars(arguments))))


COMMAND = Command(
    help="serve a model over gRPC and REST",
    description="Serve a model over gRPC and REST until SIGTERM or Ctrl-C, then finish the accepted requests and stop. "
    "Every option is also an environment variable: --grpc-port is RERANK_GRPC_PORT. A flag overrides its variable.",
    examples=(
        ("the bundled starter model, with a first ranking", f"{command_name()} serve --example"),
        (
            "your own model on all interfaces, with an API key",
            f"RERANK_API_KEYS=secret {command_name()} serve --model out/my-model --host ::",
        ),
    ),
    configure=_configure,
    run=_run,
)
