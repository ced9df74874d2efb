"""`rerank batch`: score a file of queries and documents."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command, positive
from rerank_service.cli.model_arguments import add_model_arguments
from rerank_service.cli.output_file import check_outside_models
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.quantities import counted, duration
from rerank_service.ranking.scores import ScoreType

if TYPE_CHECKING:
    from rerank_service.tools.batch.job import Job
    from rerank_service.tools.batch.part_store import Counts

_PART_PAIRS = 4096
_COLUMN_OPTIONS = ("query_column", "document_column", "score_column", "sort", "score_type")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="IN", help="file to score: .jsonl, .csv, .tsv (each also with .gz) or .parquet"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write, in the format of IN")
    columns = parser.add_argument_group("columns", "Other columns are written unchanged.")
    columns.add_argument(
        "--query-column", default="query", metavar="NAME", help="column with the query (default: %(default)s)"
    )
    columns.add_argument(
        "--document-column",
        metavar="NAME",
        help="column with a document, or with a list of documents (default: document or documents)",
    )
    columns.add_argument(
        "--score-column",
        metavar="NAME",
        help="column to add (default: score for a document, scores for a list, ranking with --sort)",
    )
    columns.add_argument(
        "--sort",
        action="store_true",
        help="for lists: write indexes and scores, best first, instead of scores in the order of the documents",
    )
    columns.add_argument(
        "--score-type",
        choices=[kind.value for kind in ScoreType if kind is not ScoreType.PROBABILITY],
        help="type of the scores (default: calibrated for a calibrated model, else sigmoid)",
    )
    _add_run_arguments(parser.add_argument_group("run"))
    _add_ray_arguments(parser.add_argument_group("Ray cluster", "Needs the extra [ray] on each node."))
    add_model_arguments(parser.add_argument_group("model or server"))


def _add_run_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--restart",
        action="store_true",
        help="discard finished parts and OUT, and score all rows again. After a kill, run the command without "
        "--restart",
    )
    group.add_argument("--strict", action="store_true", help="stop at the first row that cannot be scored")
    group.add_argument(
        "--part-pairs",
        type=positive,
        default=_PART_PAIRS,
        metavar="N",
        help="pairs of a part, which is scored and saved as a whole (default: %(default)s)",
    )


def _add_ray_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="score on a Ray cluster: HOST:PORT or auto, from a node of the cluster; local starts one on this machine. "
        "The model folder must be on each node, IN and OUT on this one",
    )
    group.add_argument(
        "--actors", type=positive, metavar="N", help="processes with a model (default: as many as the CPUs allow)"
    )
    group.add_argument(
        "--actor-cpus",
        type=positive,
        metavar="N",
        help="CPUs and lanes of each (default: RERANK_LANES, else all CPUs of the smallest node)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.cli.batch_scoring import scoring
    from rerank_service.progress import progress, stages
    from rerank_service.tools.batch.job import run
    from rerank_service.tools.batch.part_store import PartStore
    from rerank_service.tools.batch.source_file import SourceFile

    job, store = _job(arguments), PartStore(arguments.target)
    with stages() as stage:
        stage(f"reading {job.source}")
        source, rows = SourceFile(job.source), job.file_format.count_rows()
    with scoring(arguments) as scorer:
        identity = {"IN": source.digest, **scorer.identity, **_options(arguments)}
        with store.opened(identity, restart=arguments.restart), progress("rows", rows) as advance:
            started, before = time.monotonic(), sum(counts.pairs for counts in store.finished.values())
            counts = run(job, store, scorer.score, advance, time.monotonic, source.check)
            seconds = time.monotonic() - started
    print(_summary(arguments.target, store.errors_file, counts, pairs=counts.pairs - before, seconds=seconds))
    return 0


def _job(arguments: argparse.Namespace) -> "Job":
    from rerank_service.tools.batch.formats.choice import format_of
    from rerank_service.tools.batch.job import Job
    from rerank_service.tools.batch.rows import Columns

    if os.path.realpath(arguments.target) == os.path.realpath(arguments.source):
        raise SettingsInvalid(f"OUT {arguments.target} is IN: give another file")
    check_outside_models(arguments.target)
    if arguments.ray is not None:
        arguments.source = arguments.source.absolute()  # workers have another current folder
    columns = Columns(arguments.query_column, arguments.document_column, arguments.score_column)
    return Job(
        source=arguments.source,
        file_format=format_of(arguments.source, arguments.target, columns, sort=arguments.sort),
        part_pairs=arguments.part_pairs,
        strict=arguments.strict,
    )


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options that the content of OUT depends on."""
    from rerank_service import __version__

    names = (*_COLUMN_OPTIONS, "max_tokens_per_doc", "too_long", "part_pairs")
    given = {name: getattr(arguments, name) for name in names}
    options = {f"--{name.replace('_', '-')}": str(value) for name, value in given.items() if value is not None}
    return {**options, "version of rerank-service": __version__}


def _summary(target: Path, errors_file: Path, counts: "Counts", *, pairs: int, seconds: float) -> str:
    """Return the result in one or two lines. `pairs` were scored by this run, in that many seconds."""
    scored, rows = counted(counts.pairs, "pair"), counted(counts.rows - counts.errors, "row")
    speed = f"{counted(pairs, 'pair')} in {duration(seconds)}, {pairs / seconds:,.0f} pairs/s"
    lines = [f"{target}: {scored} of {rows}; this run scored {speed}"]
    if counts.errors:
        lines.append(
            f"{errors_file}: {counted(counts.errors, 'row')} without a score, each with its number and the reason"
        )
    return "\n".join(lines)


COMMAND = Command(
    help="score a file of queries and documents",
    description="Score each document of a file for its query. The model runs in this process with the settings of "
    "`rerank serve`, or in a running server (--server). A row has a query and a document, and gets a score; or a query "
    "and a list of documents, and gets their scores. Rows that cannot be scored are listed in OUT.errors.jsonl. "
    "Finished parts are kept in OUT.parts: after a kill, the same command, without --restart, continues with the next "
    "part.",
    examples=(
        (
            'lines such as {"query": "capital of France", "document": "Paris"}',
            f"{command_name()} batch pairs.jsonl scored.jsonl",
        ),
        (
            'lines such as {"query": "capital of France", "documents": ["Rome", "Paris"]}, best documents first',
            f"{command_name()} batch candidates.jsonl.gz ranked.jsonl.gz --sort",
        ),
        (
            "a table with other names of columns, a model of your own",
            f"{command_name()} batch in.csv out.csv --query-column question --document-column text --model out/minilm",
        ),
        (
            "Parquet, scored by a running server",
            f"{command_name()} batch pairs.parquet scored.parquet --server 10.0.0.7:50051",
        ),
    ),
    configure=_configure,
    run=_run,
)
