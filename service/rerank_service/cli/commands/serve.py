"""`rerank serve`: run the server."""

import argparse
import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from rerank_service.cli.commands import Command
from rerank_service.cli.model_errors import named_model
from rerank_service.cli.settings_arguments import add_settings, given_settings, unknown_variables
from rerank_service.garbage import collections_paused
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rerank_service.edges import Addresses


def _run(arguments: argparse.Namespace) -> int:
    with collections_paused():
        from rerank_service.lifecycle.crash_dumps import prevent_core_dumps, show_stacks_of_crashes
        from rerank_service.observability.event_loop import ObservedLoop
        from rerank_service.observability.logs import configure_logging, held_log
        from rerank_service.observability.unhandled_errors import log_unhandled_errors
        from rerank_service.server import serve

    settings = given_settings(arguments)
    show_stacks_of_crashes()
    if not settings.core_dumps:
        prevent_core_dumps()
    log = configure_logging(settings.log_format, settings.log_level, texts=settings.log_texts)
    with held_log(log, holds=settings.example) as release_log, named_model(settings.model):
        for name, nearest in unknown_variables(settings).items():
            structlog.get_logger().warning("unknown variable", name=name, did_you_mean=nearest)

        async def on_ready(addresses: "Addresses") -> None:
            if settings.example:
                from rerank_service.cli.output.welcome import welcome
                from rerank_service.cli.standard_output import flush_output

                with suppress(OSError):  # stdout has no reader
                    await welcome(addresses, [key.get_secret_value() for key in settings.api_keys])
                    flush_output()
                release_log()

        with asyncio.Runner(loop_factory=ObservedLoop) as runner:
            log_unhandled_errors(runner.get_loop())
            runner.run(serve(settings, on_ready))
    return 0


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
    configure=add_settings,
    run=_run,
)
