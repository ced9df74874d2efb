"""`rerank export`: a model from the hub or a folder, as a bundle that `rerank serve` takes."""

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rerank_export.scoring import Wishes
    from rerank_export.verify import Checks

_NEEDS = (
    "Exporting needs the extra `export` of rerank-service, in an environment of its own: "
    "`make export MODEL=… OUT=…` makes one."
)


_PATIENCE_SECONDS = 5.0
"""That an export which is told to end may take for it."""

_EPILOG = (
    f"For example: `{command_name()} export BAAI/bge-reranker-v2-m3 --out out/m3`, "
    f"`{command_name()} export ./my-model --relevant LABEL_1`. "
    "From the hub only the files that are needed are fetched, by its own client: HF_TOKEN (for gated models), "
    "HTTPS_PROXY, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE hold. Status 0: the bundle is there. Status 1: nothing is, "
    "and the last line says why."
)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("model", help="hub id, such as cross-encoder/ms-marco-MiniLM-L6-v2, or a folder with its files")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the bundle goes (default: out/NAME)")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the code that the model brings, where transformers has none for it: read it first",
    )
    parser.add_argument("--name", help="what the model is called where it is served (default: the folder's name)")
    graphs = parser.add_argument_group("the graphs, and how they are compared with the model")
    graphs.add_argument(
        "--precisions",
        default="fp32",
        metavar="LIST",
        help="those to make graphs for, of fp32,fp16,int8 (default: %(default)s); without fp32 weights are stored as "
        "fp16",
    )
    graphs.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help="compare on your own queries: JSONL, a line with query and documents (default: the built-in set, 200 "
        "queries with 20 documents each)",
    )
    graphs.add_argument(
        "--parity-queries", type=_count, metavar="N", help="compare on the first N of them only: a large model is slow"
    )
    graphs.add_argument("--allow-drift", action="store_true", help="keep, and mark, a bundle that scores otherwise")
    scoring = parser.add_argument_group("how it scores, where its files do not say")
    scoring.add_argument(
        "--template",
        metavar="NAME|FILE|TEXT",
        help="how a pair is written: a known family's name, or a file or text with {query} and {document}, and "
        "{instruction} if it has a place for one; `pair`: as the tokenizer does",
    )
    scoring.add_argument("--instruction", metavar="TEXT", help="what the template's instruction is by default")
    scoring.add_argument("--yes", metavar="TOKEN", help="of a text generator: the token that speaks for relevance")
    scoring.add_argument("--no", metavar="TOKEN", help="and the one against it; empty: the logit of --yes is the score")
    scoring.add_argument("--relevant", metavar="LABEL", help="of two labels the one that means relevant")
    scoring.add_argument("--activation", choices=("sigmoid", "identity"), help="how a logit becomes a relevance score")
    scoring.add_argument("--max-tokens", type=int, metavar="N", help="cut the model's window to so many tokens")
    scoring.add_argument(
        "--no-pass", action="append", default=[], metavar="NAME", help="leave a pass over the graph out (repeatable)"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_export.errors import ExportFailed

    # plain lines, also on a terminal: a spinner would swallow the hub's progress bars
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    try:
        with _cleared_away():
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


@contextmanager
def _cleared_away() -> Iterator[None]:
    """A request to end from CI or Docker ends with what is begun removed, as Ctrl-C does by itself."""
    asked = threading.Event()

    def stop(number: int, _: object) -> None:
        asked.set()
        raise SystemExit(128 + number)  # as shells have it

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with _watched():
            yield
    except Exception:
        if asked.is_set():  # foreign code makes an error of its own of what is raised within it
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _watched() -> Iterator[None]:
    """The same where Python does not come to it: native code may work for minutes, and Docker kills after ten
    seconds."""
    from rerank_export.out import clear_away

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM and not over.wait(_PATIENCE_SECONDS):
                clear_away()
                os._exit(128 + signal.SIGTERM)
        os.close(reader)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writer)


def _export(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    from rerank_export.exporter import export

    out: Path = arguments.out or Path("out") / Path(arguments.model).resolve().name
    done = export(
        arguments.model,
        out,
        revision=arguments.revision,
        trusted=arguments.trust_remote_code,
        name=arguments.name,
        wishes=_wishes(arguments),
        precisions=arguments.precisions,
        checks=_checks(arguments),
        say=say,
    )
    for finding in done.verified.findings:
        say(finding.told())
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    say(f"done: {out}, {size:.1f} MB; {done.verified.manifest.verdict}")
    say(f"serve it with: {command_name()} serve --model {out}")


def _wishes(arguments: argparse.Namespace) -> "Wishes":
    from rerank_export.scoring import Wishes
    from rerank_service.ranking.scores import Activation

    return Wishes(
        template=arguments.template,
        instruction=arguments.instruction,
        yes=arguments.yes,
        no=arguments.no,
        relevant=arguments.relevant,
        activation=Activation(arguments.activation) if arguments.activation else None,
        max_tokens=arguments.max_tokens,
        without_passes=frozenset(arguments.no_pass),
    )


def _checks(arguments: argparse.Namespace) -> "Checks":
    from rerank_export.verify import Checks

    said = {"queries": arguments.parity_queries} if arguments.parity_queries else {}
    return Checks(parity=arguments.parity, allow_drift=arguments.allow_drift, **said)


COMMAND = Command(
    help="make a bundle of a cross-encoder",
    description="Export a cross-encoder from the Hugging Face hub or a folder to ONNX, check that it scores as the "
    f"original does, and write a bundle that `{command_name()} serve --model` takes. {_NEEDS}",
    configure=_configure,
    run=_run,
)
