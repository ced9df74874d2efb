"""`rerank rank`: rank documents from the command line."""

import argparse
import asyncio
import codecs
import json
import os
import sys
from pathlib import Path

from rerank.v1 import rerank_pb2 as pb
from rerank_service.cli.commands import Command
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.surrogates import decode_text

_MAX_TOP_N = 2**31 - 1
"""Largest value of the field in the message, an int32."""
_PREFIX = "SCORE_TYPE_"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="text to rank the documents by")
    parser.add_argument("documents", nargs="*", metavar="DOCUMENT", help="document to rank; give any number of them")
    parser.add_argument("--file", metavar="FILE", help="file with one document per line; - reads standard input")
    add_server_arguments(parser)
    parser.add_argument("--top-n", type=int, metavar="N", help="number of results (default, and 0: all documents)")
    parser.add_argument(
        "--score-type",
        choices=[name.removeprefix(_PREFIX).lower() for name in pb.ScoreType.keys()[1:]],
        help="type of the scores (default: calibrated for a calibrated model, else sigmoid)",
    )
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON")


def _documents(arguments: argparse.Namespace) -> list[str]:
    documents = [*map(_utf8, arguments.documents), *(_lines(arguments.file) if arguments.file else ())]
    if not documents:
        problem = f"--file {arguments.file} has no line with text: " if arguments.file else ""
        raise SettingsInvalid(f"{problem}give documents, --file or standard input (--file -)")
    return documents


def _lines(file: str) -> list[str]:
    """Return the lines of a file, without blank ones. A line ends with LF or CR LF: other separators may be text."""
    if file == "-" and sys.stdin is None:
        raise SettingsInvalid("--file - needs standard input, which is closed")
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        lines = decode_text(content.removeprefix(codecs.BOM_UTF8)).split("\n")
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"--file {file} is not UTF-8 text, at byte {error.start}") from error
    return [line.removesuffix("\r") for line in lines if line.strip()]


async def _rank(arguments: argparse.Namespace, query: str, documents: list[str]) -> pb.RerankResponse:
    from rerank_service.tools.rest_client import client_of

    if arguments.top_n is not None and abs(arguments.top_n) > _MAX_TOP_N:
        raise SettingsInvalid(f"--top-n is {arguments.top_n}: give at most {_MAX_TOP_N}")
    try:
        async with client_of(chosen_server(arguments).address, api_key=api_key(arguments)) as client:
            return await client.rerank(
                query,
                documents,
                model=_utf8(arguments.served_model),
                top_n=arguments.top_n,
                score_type=_score_type(arguments.score_type),
            )
    except UnicodeEncodeError as error:  # the API key
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error


def _utf8(argument: str) -> str:
    """Return an argument as the system passed it: Python has surrogates for its bytes that are not UTF-8.

    Raises:
        SettingsInvalid: the argument is not UTF-8.
    """
    try:
        return decode_text(os.fsencode(argument))
    except UnicodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error


def _score_type(name: str | None) -> pb.ScoreType.ValueType:
    return pb.ScoreType.Value(_PREFIX + name.upper()) if name else pb.SCORE_TYPE_UNSPECIFIED


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_service.cli.output.tables import ranking_table

    query, documents = _utf8(arguments.query), _documents(arguments)
    response = asyncio.run(_rank(arguments, query, documents))
    if arguments.json:
        for result in response.results:
            print(json.dumps(_as_json(result, documents), ensure_ascii=False))
    else:
        Console().print(ranking_table(query, documents, response))
    return 0


def _as_json(result: pb.Result, documents: list[str]) -> dict[str, object]:
    fields: dict[str, object] = {
        "index": result.index,
        "relevance_score": result.relevance_score,
        "document": documents[result.index],
    }
    if result.HasField("best_window"):
        fields["best_window"] = {"start": result.best_window.start, "end": result.best_window.end}
    return fields


COMMAND = Command(
    help="rank documents with a running server",
    description="Rank documents with a running server, and print them as a table in order of relevance.",
    examples=(
        ("two documents", f"{command_name()} rank 'capital of France' 'Paris is in France.' 'Rome is in Italy.'"),
        (
            "the best 3 lines of a file, as JSON",
            f"{command_name()} rank 'reset password' --file faq.txt --top-n 3 --json",
        ),
    ),
    configure=_configure,
    run=_run,
    renamed={"--model": "--served-model"},
)
