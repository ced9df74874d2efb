"""`rerank export`: a model from the hub or a folder, as a bundle that `rerank serve` takes."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rerank_service.commands import Command

_NEEDS = (
    "Exporting needs the extra `export` of rerank-service, in an environment of its own: "
    "`make export MODEL=… OUT=…` makes one."
)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="hub id, such as cross-encoder/ms-marco-MiniLM-L6-v2, or a folder with its files")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the bundle goes (default: out/NAME)")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--name", help="what the model is called where it is served (default: the folder's name)")


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_export.errors import ExportFailed

    # plain lines, also on a terminal: a spinner would swallow the hub's progress bars
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    try:
        _export(arguments, console.print)
    except ExportFailed as error:
        console.print(f"rerank export: {error}")
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("rerank"):
            raise
        console.print(f"rerank export: {error.name} is not installed. {_NEEDS}")
        return 1
    return 0


def _export(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    from rerank_export.exporter import export

    out: Path = arguments.out or Path("out") / Path(arguments.model).resolve().name
    done = export(arguments.model, out, revision=arguments.revision, name=arguments.name, say=say)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    say(
        f"done: {out}, {size:.1f} MB; logits differ by at most {done.parity.max_difference:.1e} "
        f"over {done.parity.pairs} pairs"
    )
    say(f"serve it with: rerank serve --model {out}")


COMMAND = Command(
    help="make a bundle of a cross-encoder",
    description="Export a cross-encoder from the Hugging Face hub or a folder to ONNX, check that it scores as the "
    f"original does, and write a bundle that `rerank serve --model` takes. {_NEEDS}",
    configure=_configure,
    run=_run,
)
