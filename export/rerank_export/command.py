"""The `rerank export` command: a model from the hub or a folder becomes a bundle for `rerank serve`."""

import argparse
import shlex
from collections.abc import Callable

from rerank_export.command_options import add_options
from rerank_service.cli.commands import Command
from rerank_service.installation import command_name, serve_command

_REQUIREMENTS = (
    "Exporting needs the extra `export` of rerank-service, in an environment of its own: "
    "`make export MODEL=… OUT=…` makes one."
)


def _run(arguments: argparse.Namespace) -> int:
    from rerank_export.errors import ExportFailed
    from rerank_export.interruption import clean_up_on_signals
    from rerank_service.progress import kept_stages

    say = kept_stages()  # a spinner would hide the hub's progress bars
    try:
        with clean_up_on_signals():
            _export(arguments, say)
    except ExportFailed as error:
        say(f"rerank export: {error}")
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rerank"):
            raise
        say(f"rerank export: {error.name} is not installed. {_REQUIREMENTS}")
        return 1
    return 0


def _export(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    from rerank_export.command_options import read_request
    from rerank_export.exporter import export
    from rerank_export.reporter import Reporter
    from rerank_service.progress import progress

    request = read_request(arguments)
    exported = export(request, Reporter(status=say, progress=progress))
    for finding in exported.verified.findings:
        say(finding.summary())
    megabytes = sum(path.stat().st_size for path in request.out.iterdir()) / 1e6
    say(f"done: {request.out}, {megabytes:.1f} MB; {exported.verified.manifest.verdict}")
    say(f"serve it with: {serve_command()} {shlex.quote(str(request.out))}")


COMMAND = Command(
    help="export a cross-encoder to a bundle",
    description="Export a cross-encoder from the Hugging Face hub or a folder to ONNX, check that it scores like the "
    f"original, and write a bundle for `{command_name()} serve --model`. {_REQUIREMENTS}",
    examples=(
        ("a model from the Hugging Face hub", f"{command_name()} export BAAI/bge-reranker-v2-m3 --out out/m3"),
        ("a local folder with two labels", f"{command_name()} export ./my-model --relevant LABEL_1"),
    ),
    configure=add_options,
    run=_run,
)
