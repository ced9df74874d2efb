"""`rerank eval`: measure how well a model ranks judged collections."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.cli.commands import Command, positive
from rerank_service.cli.model_arguments import add_model_arguments, given_model
from rerank_service.cli.model_errors import named_model
from rerank_service.cli.output_file import check_writable, named_in_errors, write_text
from rerank_service.cli.server_arguments import api_key, given_server
from rerank_service.cli.standard_output import write_then_print
from rerank_service.installation import command_name
from rerank_service.quantities import counted, duration

if TYPE_CHECKING:
    from rerank_service.tools.evaluation.collection import Collection, Subset
    from rerank_service.tools.evaluation.evaluate import CollectionResult
    from rerank_service.tools.evaluation.measures import Measures
    from rerank_service.tools.offline_scoring import Scorer


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collections", nargs="*", type=Path, metavar="COLLECTION", help="a .jsonl or .jsonl.gz file, or a BEIR folder"
    )
    _add_collection_arguments(parser)
    add_model_arguments(parser.add_argument_group("model or server to evaluate"))
    _add_measure_arguments(parser.add_argument_group("measures"))
    output = parser.add_argument_group("output files")
    output.add_argument("--json", type=Path, metavar="FILE", help="write all figures, including those of each query")
    output.add_argument(
        "--png", type=Path, metavar="FILE", help="write a plot of nDCG before and after (requires the extra `bench`)"
    )
    output.add_argument(
        "--run",
        type=Path,
        dest="ranked",
        metavar="FILE",
        help="write the order of the model as a TREC run (one collection)",
    )


def _add_collection_arguments(parser: argparse.ArgumentParser) -> None:
    beir = parser.add_argument_group("BEIR folder and TREC files")
    beir.add_argument(
        "--candidates", type=Path, metavar="RUN", help="TREC run with the candidates in the order of the first stage"
    )
    beir.add_argument("--split", default="test", metavar="NAME", help="qrels of a BEIR folder (default: %(default)s)")
    trec = parser.add_argument_group(
        "TREC files", "A collection in TREC format needs --candidates and these three files."
    )
    trec.add_argument("--qrels", type=Path, metavar="FILE", help="judgements")
    trec.add_argument("--topics", type=Path, metavar="FILE", help="queries: .tsv (id, text) or .jsonl")
    trec.add_argument("--corpus", type=Path, metavar="FILE", help="documents: .tsv (id, text) or .jsonl")


def _add_measure_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--depth", type=positive, metavar="N", help="number of candidates per query (default: all)")
    group.add_argument("--queries", type=positive, metavar="N", help="number of queries per collection (default: all)")
    group.add_argument(
        "--gain",
        choices=("grade", "exp2"),
        default="grade",
        help="gain of nDCG: grade, or 2^grade - 1 (default: %(default)s)",
    )
    group.add_argument(
        "--relevant-from",
        type=positive,
        default=1,
        metavar="GRADE",
        help="lowest grade of a relevant document, for MRR and recall (default: %(default)s)",
    )
    group.add_argument(
        "--recall-at",
        type=positive,
        default=10,
        metavar="K",
        help="number of results for recall (default: %(default)s)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.tools.evaluation.collection import Subset
    from rerank_service.tools.evaluation.eval_report import check_run_ids
    from rerank_service.tools.evaluation.evaluate import check_grades
    from rerank_service.tools.evaluation.measures import Measures

    _check_output(arguments)
    collections = _collections(arguments, Subset(arguments.depth, arguments.queries))
    if arguments.ranked is not None:
        check_run_ids(collections[0])
    measures = Measures(arguments.gain, arguments.relevant_from, arguments.recall_at)
    for collection in collections:
        check_grades(collection, measures)
    scorer, evaluated = asyncio.run(_evaluated(arguments, collections, measures))
    write_then_print(_writes(arguments, scorer, evaluated, measures), lambda: _print(scorer, evaluated, measures))
    return 0


def _print(scorer: "Scorer", evaluated: "list[CollectionResult]", measures: "Measures") -> None:
    from rerank_service.cli.output.bars import show_bars
    from rerank_service.cli.output.console import output_console, print_table
    from rerank_service.cli.output.evaluation import evaluation_notes, evaluation_table, ndcg_rows
    from rerank_service.tools.evaluation.measures import NDCG

    console = output_console()
    print_table(console, evaluation_table(evaluated, measures))
    show_bars(console, NDCG, ndcg_rows(evaluated), maximum=1.0)
    seconds, pairs = sum(result.seconds for result in evaluated), sum(result.collection.pairs for result in evaluated)
    notes = [note for result in evaluated for note in evaluation_notes(result)]
    for line in (*notes, f"{scorer.model} on {scorer.engine}: {counted(pairs, 'pair')} in {duration(seconds)}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _check_output(arguments: argparse.Namespace) -> None:
    """Check the output files before minutes of work for their content."""
    from rerank_service.tools.extra_packages import MATPLOTLIB, check_extra

    if arguments.png is not None:
        check_extra("bench", MATPLOTLIB)
    check_writable(arguments.json, arguments.ranked, arguments.png)


def _writes(
    arguments: argparse.Namespace, scorer: "Scorer", evaluated: "list[CollectionResult]", measures: "Measures"
) -> Iterator[Callable[[], None]]:
    """Yield the functions that write the files, one each."""
    from rerank_service.tools.evaluation.eval_report import eval_report, run_lines

    if arguments.json is not None:
        yield lambda: write_text(arguments.json, json.dumps(eval_report(scorer, measures, evaluated), indent=2) + "\n")
    if arguments.ranked is not None:
        yield lambda: write_text(arguments.ranked, "".join(f"{line}\n" for line in run_lines(evaluated[0])))
    if arguments.png is not None:
        yield lambda: _draw(arguments.png, scorer, evaluated)


def _draw(png: Path, scorer: "Scorer", evaluated: "list[CollectionResult]") -> None:
    from rerank_service.tools.evaluation.ndcg_plot import draw_ndcg

    with named_in_errors(png):
        draw_ndcg(evaluated, f"{scorer.model} on {scorer.engine}", png)


def _collections(arguments: argparse.Namespace, subset: "Subset") -> "list[Collection]":
    from rerank_service.errors import SettingsInvalid
    from rerank_service.tools.evaluation.beir import read_beir
    from rerank_service.tools.evaluation.jsonl import read_jsonl
    from rerank_service.tools.evaluation.trec import TrecFiles, read_trec

    paths: list[Path] = arguments.collections
    trec = {name: getattr(arguments, name) for name in ("candidates", "qrels", "topics", "corpus")}
    if arguments.qrels is not None or arguments.topics is not None or arguments.corpus is not None:
        missing = [f"--{name}" for name, path in trec.items() if path is None]
        if missing or paths:
            problem = f"{', '.join(missing)} missing" if missing else f"remove {paths[0]}"
            raise SettingsInvalid(
                f"a collection in TREC format consists of --candidates, --qrels, --topics and --corpus: {problem}"
            )
        files = TrecFiles(run=trec["candidates"], qrels=trec["qrels"], topics=trec["topics"], corpus=trec["corpus"])
        return [read_trec(files.qrels.name.partition(".")[0], files, subset)]
    if not paths:
        raise SettingsInvalid("no collection: give a .jsonl file, a BEIR folder, or TREC files (see --help)")
    if arguments.ranked is not None and len(paths) > 1:
        raise SettingsInvalid(f"--run needs exactly one collection, not {len(paths)}")
    if arguments.candidates is not None and (len(paths) > 1 or not paths[0].is_dir()):
        raise SettingsInvalid("--candidates needs exactly one BEIR folder, or TREC files")
    return [
        read_beir(path, subset, run=arguments.candidates, split=arguments.split)
        if path.is_dir()
        else read_jsonl(path, subset)
        for path in paths
    ]


async def _evaluated(
    arguments: argparse.Namespace, collections: "list[Collection]", measures: "Measures"
) -> "tuple[Scorer, list[CollectionResult]]":
    from rerank_service.progress import progress
    from rerank_service.tools.evaluation.evaluate import evaluate

    evaluated = []
    async with _scorer(arguments) as scorer:
        for collection in collections:
            with progress(collection.name, collection.pairs) as scored:
                evaluated.append(await evaluate(collection, scorer, measures, scored))
    return scorer, evaluated


@asynccontextmanager
async def _scorer(arguments: argparse.Namespace) -> "AsyncIterator[Scorer]":
    from rerank_service.ranking.request import TooLong
    from rerank_service.settings import read_settings
    from rerank_service.tools.offline_scoring import local_scorer
    from rerank_service.tools.server_scoring import server_scorer
    from rerank_service.wiring import request_limits, single_model_options

    reading: dict[str, Any] = {
        "max_tokens_per_doc": arguments.max_tokens_per_doc,
        "too_long": TooLong(arguments.too_long),
    }
    given = given_model(arguments)
    server = None if given else given_server(arguments)  # flags override RERANK_SERVER
    if server is None:
        settings = read_settings(**given)
        with named_model(settings.model):
            async with local_scorer(single_model_options(settings), request_limits(settings), **reading) as scorer:
                yield scorer
        return
    async with server_scorer(
        server.address, api_key=api_key(arguments), model=arguments.served_model, **reading
    ) as scorer:
        yield scorer


COMMAND = Command(
    help="measure how well a model ranks judged collections",
    description="Rank the candidates of judged collections, and measure nDCG@10, MRR@10 and recall before and after. "
    "The model runs in this process with the settings of `rerank serve`, or in a running server (--server).",
    examples=(
        (
            "the bundled starter model, 100 candidates per query",
            f"{command_name()} eval data/trec-dl19.jsonl.gz --depth 100",
        ),
        (
            "a running server, all figures in a file",
            f"{command_name()} eval beir/scifact --server 10.0.0.7:50051 --json f.json",
        ),
        (
            "several collections, with a picture",
            f"{command_name()} eval beir/scifact beir/nfcorpus --model out/minilm --png ndcg.png",
        ),
    ),
    configure=_configure,
    run=_run,
    renamed={"--served-name": "--served-model"},
)
