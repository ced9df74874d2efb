"""The flags of `rerank export`, and the request that they make."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.argument_text import PathText

if TYPE_CHECKING:
    from rerank_export.export_request import ExportRequest

_EPILOG = (
    "The Hugging Face hub client downloads only the files that are needed. Its variables apply: HF_TOKEN (for gated "
    "models), HTTPS_PROXY, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE. Exit status 0: the bundle is written. Exit status 1: "
    "nothing is written, and the last line gives the reason."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "model",
        type=PathText,
        metavar="MODEL",
        help="hub id, such as cross-encoder/ms-marco-MiniLM-L6-v2, or a folder with its files",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the new bundle (default: out/NAME)")
    parser.add_argument("--revision", metavar="REVISION", help="branch, tag or commit on the hub")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the code in the model's repository if transformers has no such model class; read it first",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the model where it is served (default: name of the folder)"
    )
    _add_graph_options(parser.add_argument_group("graphs and comparison"))
    scoring = "Needed only if the model's files do not define it."
    _add_scoring_options(parser.add_argument_group("scoring", scoring))


def _add_graph_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--precisions",
        default="fp32",
        metavar="LIST",
        help="precisions to make graphs for, of fp32,fp16,int8 (default: %(default)s); without fp32, the weights of "
        "the reference graph are rounded to fp16",
    )
    group.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help="compare on your own queries: JSONL, each line with query and documents (default: the built-in set, 200 "
        "queries with 20 documents each)",
    )
    group.add_argument(
        "--parity-queries",
        type=_positive,
        metavar="N",
        help="compare on the first N queries only, since a large model is slow (default: RERANK_PARITY_QUERIES, else "
        "all)",
    )
    group.add_argument(
        "--allow-drift", action="store_true", help="keep and mark a bundle whose scores are outside the tolerance"
    )
    group.add_argument(
        "--no-pass", action="append", default=[], metavar="NAME", help="disable a pass over the graph (repeatable)"
    )


def _add_scoring_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--template",
        type=PathText,
        metavar="NAME|FILE|TEXT",
        help="template of a pair: the name of a recipe, or a file or text with {query}, {document} and optionally "
        "{instruction}; `none` is the tokenizer's own format of a pair",
    )
    group.add_argument("--instruction", metavar="TEXT", help="default instruction of the template")
    group.add_argument("--yes", metavar="TOKEN", help="for a text generator: the token that means relevant")
    group.add_argument(
        "--no", metavar="TOKEN", help="the token that means not relevant; empty: the logit of --yes is the score"
    )
    group.add_argument("--relevant", metavar="LABEL", help="the label that means relevant, if there are two labels")
    group.add_argument(
        "--activation", choices=("sigmoid", "identity"), help="function from the logit to the relevance score"
    )
    group.add_argument("--max-tokens", type=int, metavar="N", help="reduce the model's window to N tokens")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def read_request(arguments: argparse.Namespace) -> "ExportRequest":
    """Return the request of parsed arguments.

    Raises:
        ExportFailed: an environment variable is invalid.
    """
    from rerank_export.export_request import ExportRequest
    from rerank_export.gate.gate_options import GateOptions
    from rerank_export.scoring.scoring_options import ScoringOptions
    from rerank_service.ranking.scores import Activation

    queries = {"queries": arguments.parity_queries} if arguments.parity_queries else {}
    return ExportRequest(
        arguments.model,
        arguments.out or Path("out") / Path(arguments.model).resolve().name,
        revision=arguments.revision,
        trust_remote_code=arguments.trust_remote_code,
        name=arguments.name,
        scoring=ScoringOptions(
            template=arguments.template,
            instruction=arguments.instruction,
            yes=arguments.yes,
            no=arguments.no,
            relevant=arguments.relevant,
            activation=Activation(arguments.activation) if arguments.activation else None,
            max_tokens=arguments.max_tokens,
        ),
        precisions=arguments.precisions,
        without_passes=frozenset(arguments.no_pass),
        gate=GateOptions(parity=arguments.parity, allow_drift=arguments.allow_drift, **queries),
    )
