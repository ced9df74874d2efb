"""The `rerank` command: `python -m rerank_service`."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.garbage import collections_paused
from rerank_service.installation import command_name, server_install_command

if TYPE_CHECKING:
    from rerank_service.cli.commands import Command
    from rerank_service.cli.parser import Parser

_INSTALL_HINT = (
    "rerank: {missing} is not installed. Server and command line need the extra [cpu], [openvino] or [gpu]:\n"
    "    {install}"
)
_WRONG_SETTING = 2  # as argparse exits for a wrong flag
_NO_SERVER = ("Connection refused", "All connection attempts failed")
"""Parts of the messages of gRPC and httpx if nothing listens on a port."""
_THIS_MACHINE = ("127.0.0.1", "[::1]", "localhost")
_INTERRUPTED = 130  # 128 + SIGINT, the convention of shells


def main() -> int:
    """Run the command line, and return the exit status."""
    # gRPC writes a line to stderr for each failed TLS handshake, which any port scanner causes. It reads the variable
    # when it is imported. Errors of calls have the same text
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from rerank_service.cli.standard_output import escape_unencodable

    if sys.stderr is None:  # closed by the shell. print() would write errors to standard output
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    escape_unencodable()  # --help has such characters
    try:
        return _ended(_main(sys.argv[1:], before_run=_log_to_stderr))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rerank"):
            raise
        print(_INSTALL_HINT.format(missing=error.name, install=server_install_command()), file=sys.stderr)
        return 1
    except OSError as error:  # standard output cannot be written: rich writes to it while the parser is built
        print(f"rerank: {_message(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # also while modules are imported
        return _INTERRUPTED


def _ended(status: int) -> int:
    """Return the status. While a background thread loads a model, end the process with it."""
    from rerank_service.cli.standard_output import flush_output
    from rerank_service.lifecycle.background import background_work_is_running

    if background_work_is_running():
        flush_output()
        sys.stderr.flush()
        os._exit(status)
    return status


def _main(argv: list[str], before_run: Callable[[], None] = lambda: None) -> int:
    with collections_paused():
        from rerank_service.cli.output.console import ignore_invalid_columns

        ignore_invalid_columns()
        parser = build_parser(commands(argv[0] if argv else None))
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions, by the script of `rerank completion`
        import argcomplete

        argcomplete.autocomplete(parser)
    if not argv:
        parser.print_help(sys.stderr)
        return _WRONG_SETTING
    arguments = parser.parse_args(argv)
    before_run()
    return _run(arguments)


def _log_to_stderr() -> None:
    """Write log lines to standard error, from RERANK_LOG_LEVEL or `warning`. Standard output has only results.

    structlog alone writes to standard output. Commands that read all settings may configure the log again.
    """
    from rerank_service.cli.settings_arguments import allowed_words
    from rerank_service.observability.logs import configure_logging

    level = os.environ.get("RERANK_LOG_LEVEL", "").lower()
    configure_logging("auto", level if level in allowed_words("log_level") else "warning")


def build_parser(commands: "Mapping[str, Command]") -> "Parser":
    """Return the parser of the command line, with a subparser for each command."""
    import rerank_service
    from rerank_service.cli.help_format import examples_text
    from rerank_service.cli.parser import Parser

    parser = Parser(
        prog="rerank",
        description="A self-hosted reranker: cross-encoders on ONNX Runtime, served over gRPC and REST.",
        epilog=examples_text(_first_steps()),
    )
    parser.add_argument("--version", action="version", version=f"rerank-service {rerank_service.__version__}")
    subparsers = parser.add_subparsers(required=True, title="commands", metavar="COMMAND")
    for name, command in commands.items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.description, renamed=command.renamed
        )
        command.configure(subparser)
        if command.examples:
            subparser.epilog = "\n\n".join(filter(None, (examples_text(command.examples), subparser.epilog)))
        subparser.set_defaults(run=command.run)
    return parser


def commands(first_word: str | None = None) -> dict[str, "Command"]:
    """Return the subcommands by name: the modules of `cli.commands`, and the entry points of other packages.

    If `first_word` of the command line is one of the former, only that one is imported, and for `--version` none.
    """
    from rerank_service.cli import commands as package

    own = [module.name for module in pkgutil.iter_modules(package.__path__)]
    if first_word == "--version" or first_word in own:
        return {name: _command(name) for name in own if name == first_word}
    from importlib.metadata import entry_points

    others = {point.name: point.load() for point in entry_points(group="rerank.commands")}
    return dict(sorted((others | {name: _command(name) for name in own}).items()))


def _command(name: str) -> "Command":
    command: Command = importlib.import_module(f"rerank_service.cli.commands.{name}").COMMAND
    return command


def _first_steps() -> list[tuple[str, str]]:
    rerank = command_name()
    return [
        ("start a server with the bundled starter model", f"{rerank} serve --example"),
        ("in another terminal: rank two documents", f"{rerank} rank 'capital of France' 'Rome' 'Paris'"),
    ]


def _hint(error: Exception) -> str:
    """Return the end of a message: how a command sends an API key, if a server rejected the call for the lack of one;
    how to start a server, if there is none."""
    from rerank.errors import Unauthenticated
    from rerank_service.cli.server_arguments import API_KEY

    if all(any(words in str(error) for words in each) for each in (_NO_SERVER, _THIS_MACHINE)):
        return f". To start a server on this machine: {command_name()} serve --example"

    rejected = isinstance(error, Unauthenticated) or getattr(error, "status", None) == HTTPStatus.UNAUTHORIZED
    return f". This command sends the key in {API_KEY}" if rejected else ""


def _run(arguments: argparse.Namespace) -> int:
    """Run a subcommand. Print expected errors, such as a wrong setting, as one line without a traceback."""
    from rerank.errors import RerankError, Unavailable
    from rerank_service.cli.argument_text import decode_arguments
    from rerank_service.cli.standard_output import discard_unwritable, flush_output
    from rerank_service.cli.storage_errors import storage_failed
    from rerank_service.errors import OperatorError, RequestError, SettingsInvalid

    try:
        decode_arguments(arguments)
        status: int = arguments.run(arguments)
        flush_output()
        return status
    except BrokenPipeError:  # the reader of the output ended, as in `rerank rank … | head -1`
        discard_unwritable()
        return 1
    except SettingsInvalid as error:
        print(f"rerank: {_message(error)}", file=sys.stderr)
        return 1 if storage_failed(error) else _WRONG_SETTING
    except (OperatorError, RequestError, OSError) as error:
        print(f"rerank: {_message(error)}{_hint(error)}", file=sys.stderr)
        discard_unwritable()
    except RerankError as error:
        server = _called_server(arguments) if isinstance(error, Unavailable) else ""
        print(f"rerank: {server}{_message(error)}{_hint(error)}", file=sys.stderr)
    return 1


def _called_server(arguments: argparse.Namespace) -> str:
    """Return the address that a command called, and the flag or variable that set it, as the beginning of a message."""
    from rerank_service.cli.server_arguments import chosen_server

    if "server" not in arguments:
        return ""
    server = getattr(arguments, "chosen_server", chosen_server)(arguments)
    return f"{server.address.target} ({server.source}): "


def _message(error: Exception) -> str:
    """Return the message of an error as one line. For errors of a file, leave out the number of the error."""
    if isinstance(error, OSError) and error.filename is not None and error.filename2 is None:
        return _one_line(f"{error.filename}: {error.strerror}")
    return _one_line(str(error))


def _one_line(text: str) -> str:
    """Join the lines of a text, and escape characters that do not print: those of a damaged file could change the
    terminal. A path may have a line break, and a library's message several lines."""
    from rerank_service.error_text import printable

    return printable(" ".join(line.strip() for line in text.splitlines() if line.strip()))


if __name__ == "__main__":
    sys.exit(main())
