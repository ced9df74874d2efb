"""The `rerank` command."""

import argparse
import importlib
import pkgutil
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from rerank_service.installation import command_name, install_command

if TYPE_CHECKING:
    from rerank_service.cli.commands import Command

_INSTALL_HINT = (
    "rerank: {missing} is not installed. The server and the command line come with an extra:\n"
    "    {install}    # or [gpu], for CUDA"
)
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> int:
    """Run the subcommand that the command line names."""
    try:
        return _main(sys.argv[1:])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rerank"):
            raise
        print(_INSTALL_HINT.format(missing=error.name, install=install_command("cpu")), file=sys.stderr)
        return 1


def _main(argv: list[str]) -> int:
    import rerank_service
    from rerank_service.cli.parser import Parser

    rerank = command_name()
    parser = Parser(
        prog="rerank",
        description="A self-hosted reranker: cross-encoders on ONNX Runtime behind gRPC and REST.",
        epilog=f"Begin with `{rerank} serve`; in another terminal: {rerank} rank 'a question' 'a text' 'another text'",
    )
    parser.add_argument("--version", action="version", version=f"rerank-service {rerank_service.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in _commands().items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.description, renamed=command.renamed
        )
        command.configure(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    return _run(arguments)


def _commands() -> dict[str, "Command"]:
    """Our own subcommands, each a module of `commands` with a `COMMAND`, and those of other packages."""
    from rerank_service.cli import commands

    modules = [
        importlib.import_module(f"{commands.__name__}.{module.name}")
        for module in pkgutil.iter_modules(commands.__path__)
    ]
    own = {module.__name__.rpartition(".")[2]: module.COMMAND for module in modules if hasattr(module, "COMMAND")}
    return own | {point.name: point.load() for point in entry_points(group="rerank.commands")}


def _run(arguments: argparse.Namespace) -> int:
    """Run a subcommand; what a person can do something about is one line, not a trace."""
    import grpc

    from rerank_service.errors import OperatorError, RequestError

    try:
        status: int = arguments.run(arguments)
        return status
    except (OperatorError, RequestError, OSError) as error:
        print(f"rerank: {_said(error)}", file=sys.stderr)
    except grpc.RpcError as error:
        where = _where(arguments) if error.code() is grpc.StatusCode.UNAVAILABLE else ""
        print(f"rerank: {where}{error.code().name}: {error.details()}", file=sys.stderr)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 1


def _where(arguments: argparse.Namespace) -> str:
    """Name the server that a command called, and the flag or variable that chose it."""
    from rerank_service.cli.server_arguments import chosen_server

    if "server" not in arguments:
        return ""
    server = chosen_server(arguments)
    return f"{server.address.target} ({server.source}): "


def _said(error: Exception) -> str:
    """Of a file what is wrong with it, without the number of the error."""
    if isinstance(error, OSError) and error.filename is not None and error.filename2 is None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
