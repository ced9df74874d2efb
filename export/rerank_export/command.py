"""`rerank export`: a model from the hub or a folder, as a bundle that `rerank serve` takes."""

import argparse
from pathlib import Path

from rerank_service.commands import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="hub id, such as cross-encoder/ms-marco-MiniLM-L6-v2, or a folder with its files")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the bundle goes (default: out/NAME)")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--name", help="what the model is called where it is served (default: the folder's name)")


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_export.errors import ExportFailed
    from rerank_export.exporter import export

    console = Console(stderr=True, highlight=False)
    out: Path = arguments.out or Path("out") / Path(arguments.model).name
    try:
        with console.status("starting") as status:

            def say(step: str) -> None:
                status.update(step)
                if not console.is_terminal:
                    console.print(step, soft_wrap=True)

            bundle = export(arguments.model, out, revision=arguments.revision, name=arguments.name, say=say)
    except ExportFailed as error:
        console.print(f"rerank export: {error}", soft_wrap=True, markup=False)
        return 1
    console.print(
        f"[green]done[/]: {bundle.folder}\nserve it with: rerank serve --model {bundle.folder}", soft_wrap=True
    )
    return 0


COMMAND = Command(
    help="make a bundle of a cross-encoder",
    description="Export a cross-encoder from the Hugging Face hub or a folder to ONNX, check that it scores as the "
    "original does, and write a bundle that `rerank serve --model` takes. Needs rerank-service[export] "
    "in an environment of its own: `make export MODEL=… OUT=…` makes one.",
    configure=_configure,
    run=_run,
)
