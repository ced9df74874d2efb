"""`rerank rank`: rank documents from the command line."""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.v1 import rerank_pb2 as pb
from rerank_service.cli.argument_text import PathText
from rerank_service.cli.commands import Command, seconds
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.tools.tables.kinds import KINDS

if TYPE_CHECKING:
    from rerank_service.tools.documents_file import DocumentColumns, FileDocument

_MAX_TOP_N = 2**31 - 1
"""Largest value of the field in the message, an int32."""
_PREFIX = "SCORE_TYPE_"
_ADVANCE = 256
"""Documents that are read before the progress is shown again."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="text to rank the documents by")
    parser.add_argument(
        "documents", nargs="*", default=[], metavar="DOCUMENT", help="document to rank; give any number of them"
    )
    _add_file_arguments(parser.add_argument_group("file"))
    add_server_arguments(parser)
    parser.add_argument("--top-n", type=int, metavar="N", help="number of results (default, and 0: all documents)")
    parser.add_argument(
        "--score-type",
        choices=[name.removeprefix(_PREFIX).lower() for name in pb.ScoreType.keys()[1:]],
        help="type of the scores (default: calibrated for a calibrated model, else sigmoid)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="seconds until the command ends with an error (default: that of the server, but at most 600 s; one day "
        "for more than 256 documents, or more than a million characters)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--output",
        choices=("table", "json", "tsv"),
        default="table",
        help="table for people; json: each result as a line of JSON; tsv: a header and a line for each result, with "
        "tabs, line ends and backslashes as \\t, \\n, \\r and \\\\ (default: %(default)s)",
    )
    for form in ("json", "tsv"):
        output.add_argument(
            f"--{form}", action="store_const", const=form, dest="output", help=f"the same as --output {form}"
        )


def _add_file_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--file",
        action="append",
        type=PathText,
        default=[],
        metavar="FILE",
        help="file with documents: .json (an array), .jsonl, .csv, .tsv (each also with .gz), .parquet, or any other "
        "name for one document per line; - reads standard input; give it several times to rank the documents of "
        "several files",
    )
    group.add_argument(
        "--format", choices=KINDS, help="format of the file (default: by its name; txt for standard input)"
    )
    group.add_argument(
        "--document-column",
        action="append",
        default=[],
        metavar="NAME",
        help="column with the document (default: document, else text); give it several times to rank several columns "
        "together, as an object document",
    )
    group.add_argument("--id-column", metavar="NAME", help="column with an id to show (default: id, else _id, if any)")


def _documents(arguments: argparse.Namespace) -> "list[FileDocument]":
    from rerank_service.tools.documents_file import FileDocument

    documents = [FileDocument(text, text) for text in arguments.documents]
    from_files = list(_file_documents(arguments))
    documents += from_files
    if "-" in arguments.file and not arguments.format and from_files:
        _hint_at_json(from_files[0].text)
    if not documents:
        problem = f"--file {', '.join(arguments.file)} has no document: " if arguments.file else ""
        raise SettingsInvalid(f"{problem}give documents, --file or standard input (--file -)")
    return documents


def _hint_at_json(line: str) -> None:
    """Say on standard error how to rank JSON from standard input, if the first line looks like it."""
    if line.startswith(("{", "[")):
        form = "jsonl" if line.startswith("{") and line.endswith("}") else "json"
        print(f"rerank: standard input is ranked as lines of text: for JSON, give --format {form}", file=sys.stderr)


def _file_documents(arguments: argparse.Namespace) -> "Iterator[FileDocument]":
    from rerank_service.tools.documents_file import DocumentColumns, kind_of_documents

    columns = DocumentColumns(tuple(arguments.document_column), arguments.id_column)
    if not arguments.file and (arguments.format or columns != DocumentColumns()):
        raise SettingsInvalid("--format, --document-column and --id-column need --file: give a file, or remove them")
    paths = list(map(Path, arguments.file))
    kinds = [kind_of_documents(path, arguments.format) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        yield from _read(path, kind, columns)


def _read(path: Path, kind: str, columns: "DocumentColumns") -> "Iterator[FileDocument]":
    from rerank_service.progress import progress
    from rerank_service.tools.documents_file import read_documents
    from rerank_service.tools.tables.opening import shown_path

    with progress(f"reading {shown_path(path)}", None) as advance:
        for number, document in enumerate(read_documents(path, kind, columns), 1):
            if number % _ADVANCE == 0:
                advance(_ADVANCE, detail=f"{number:,} documents")
            yield document


async def _rank(arguments: argparse.Namespace, query: str, texts: list[str]) -> pb.RerankResponse:
    from rerank_service.tools.ranking_call import rank

    if arguments.top_n is not None and abs(arguments.top_n) > _MAX_TOP_N:
        raise SettingsInvalid(f"--top-n is {arguments.top_n}: give at most {_MAX_TOP_N}")
    return await rank(
        chosen_server(arguments).address,
        query,
        texts,
        api_key=api_key(arguments),
        seconds=arguments.timeout,
        model=arguments.served_model,
        top_n=arguments.top_n,
        score_type=_score_type(arguments.score_type),
    )


def _score_type(name: str | None) -> pb.ScoreType.ValueType:
    return pb.ScoreType.Value(_PREFIX + name.upper()) if name else pb.SCORE_TYPE_UNSPECIFIED


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.cli.output.console import output_console, print_table
    from rerank_service.cli.output.ranking import json_lines, tsv_lines
    from rerank_service.cli.output.tables import ranking_table

    query, documents = arguments.query, _documents(arguments)
    texts = [document.text for document in documents]
    response = asyncio.run(_rank(arguments, query, texts))
    if arguments.output == "table":
        print_table(output_console(), ranking_table(query, texts, response, [document.id for document in documents]))
        return 0
    for line in (json_lines if arguments.output == "json" else tsv_lines)(documents, response):
        print(line)
    return 0


COMMAND = Command(
    help="rank documents with a running server",
    description="Rank documents with a running server, and print them in order of relevance: as a table, as lines of "
    "JSON, or as TSV for pipes. More than 256 documents are sent to a gRPC server as a stream, with a progress bar.",
    examples=(
        ("two documents", f"{command_name()} rank 'capital of France' 'Paris is in France.' 'Rome is in Italy.'"),
        (
            "the best 3 lines of a file, as JSON",
            f"{command_name()} rank 'reset password' --file faq.txt --top-n 3 --json",
        ),
        (
            "a table with other names of columns; two of them are ranked",
            f"{command_name()} rank 'warm jacket' --file products.csv --document-column name --document-column text",
        ),
        (
            "a JSON array from a pipe; the best ids",
            f"jq .items faq.json | {command_name()} rank 'refund' --file - --format json --output tsv | cut -f 3",
        ),
    ),
    configure=_configure,
    run=_run,
    renamed={"--model": "--served-model"},
)
