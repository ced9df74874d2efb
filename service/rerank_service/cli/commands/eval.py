"""`rerank eval`: how well a model ranks collections that people have judged."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.cli.commands import Command, positive
from rerank_service.cli.server_arguments import add_server_arguments, api_key, given_server
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.installation import command_name
from rerank_service.quantities import counted, duration

if TYPE_CHECKING:
    from rerank_service.tools.evaluation.collection import Collection, Subset
    from rerank_service.tools.evaluation.evaluate import CollectionResult
    from rerank_service.tools.evaluation.measures import Measures
    from rerank_service.tools.offline_scoring import Scorer


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("collections", nargs="*", type=Path, metavar="COLLECTION", help="a .jsonl(.gz) file or a folder as BEIR's")
    add("--candidates", type=Path, metavar="RUN", help="TREC run with the first stage's order, for BEIR's and TREC's")
    add("--split", default="test", metavar="NAME", help="of a BEIR folder's qrels (default: %(default)s)")
    trec = parser.add_argument_group("qrels and texts", "a collection in TREC's forms: --candidates and these")
    trec.add_argument("--qrels", type=Path, metavar="FILE", help="what was judged")
    trec.add_argument("--topics", type=Path, metavar="FILE", help="the queries: .tsv (id, text) or .jsonl")
    trec.add_argument("--corpus", type=Path, metavar="FILE", help="the documents, likewise")
    model = parser.add_argument_group("what is evaluated")
    model.add_argument("--model", type=Path, metavar="FOLDER", help="folder of a model (default: the bundled starter)")
    model.add_argument("--provider", choices=[one.value for one in Provider], help="as for rerank serve")
    model.add_argument("--precision", choices=[one.value for one in Precision], help="as for rerank serve")
    add_server_arguments(model, otherwise="no server, but a model in this process")
    model.add_argument("--max-tokens-per-doc", type=positive, metavar="N", help="cut each document to so many tokens")
    model.add_argument(
        "--too-long",
        choices=("windows", "cut"),
        default="windows",
        help="score documents longer than the model's window in several, or cut them (default: %(default)s)",
    )
    how = parser.add_argument_group("how much, and what is measured")
    how.add_argument("--depth", type=positive, metavar="N", help="candidates of each query (default: all)")
    how.add_argument("--queries", type=positive, metavar="N", help="the first N of each collection (default: all)")
    how.add_argument("--gain", choices=("grade", "exp2"), default="grade", help="of nDCG: the grade, or 2^grade - 1")
    how.add_argument("--relevant-from", type=positive, default=1, metavar="GRADE", help="for MRR, recall (default: 1)")
    how.add_argument("--recall-at", type=positive, default=10, metavar="K", help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all figures, those of each query too")
    add(
        "--run",
        type=Path,
        dest="ranked",
        metavar="FILE",
        help="write the model's order as a TREC run; of one collection",
    )


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_service.cli.output.evaluation import evaluation_notes, evaluation_table
    from rerank_service.tools.evaluation.collection import Subset
    from rerank_service.tools.evaluation.eval_report import eval_report, run_lines
    from rerank_service.tools.evaluation.measures import Measures

    collections = _collections(arguments, Subset(arguments.depth, arguments.queries))
    measures = Measures(arguments.gain, arguments.relevant_from, arguments.recall_at)
    scorer, evaluated = asyncio.run(_evaluated(arguments, collections, measures))
    console = Console()
    console.print(evaluation_table(evaluated, measures))
    seconds, pairs = sum(one.seconds for one in evaluated), sum(one.collection.pairs for one in evaluated)
    notes = [note for result in evaluated for note in evaluation_notes(result)]
    for line in (*notes, f"{scorer.model} on {scorer.engine}: {counted(pairs, 'pair')} in {duration(seconds)}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(eval_report(scorer, measures, evaluated), indent=2) + "\n")
    if arguments.ranked is not None:
        arguments.ranked.write_text("".join(f"{line}\n" for line in run_lines(evaluated[0])))
    return 0


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
            wrong = f"{', '.join(missing)} is missing" if missing else f"{paths[0]} is given too"
            raise SettingsInvalid(f"a collection in TREC's form is its four files alone: {wrong}")
        files = TrecFiles(run=trec["candidates"], qrels=trec["qrels"], topics=trec["topics"], corpus=trec["corpus"])
        return [read_trec(files.qrels.name.partition(".")[0], files, subset)]
    if not paths:
        raise SettingsInvalid("say which collection: a .jsonl file, a BEIR folder, or TREC's files (--help)")
    if arguments.ranked is not None and len(paths) > 1:
        raise SettingsInvalid(f"--run takes one collection, and {len(paths)} are given")
    if arguments.candidates is not None and (len(paths) > 1 or not paths[0].is_dir()):
        raise SettingsInvalid("--candidates goes with one BEIR folder, or with TREC's files")
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
    from rerank_service.errors import SettingsInvalid
    from rerank_service.ranking.request import TooLong
    from rerank_service.settings import read_settings
    from rerank_service.tools.offline_scoring import local_scorer, server_scorer
    from rerank_service.wiring import model_options, request_limits

    read: dict[str, Any] = {
        "max_tokens_per_doc": arguments.max_tokens_per_doc,
        "too_long": TooLong(arguments.too_long),
    }
    given: dict[str, Any] = {
        name: value for name in ("model", "provider", "precision") if (value := getattr(arguments, name)) is not None
    }
    if given and arguments.server is not None:
        raise SettingsInvalid(f"--server and --{next(iter(given))} are mutually exclusive: give one of them")
    server = None if given else given_server(arguments)  # a flag wins over RERANK_SERVER
    if server is None:
        settings = read_settings(**given)
        async with local_scorer(model_options(settings), request_limits(settings), **read) as scorer:
            yield scorer
        return
    try:
        async with server_scorer(
            server.address, api_key=api_key(arguments), model=arguments.served_model, **read
        ) as scorer:
            yield scorer
    except UnicodeEncodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error


COMMAND = Command(
    help="measure how well a model ranks judged collections",
    description="Rank the candidates of relevance collections with a model, as `rerank serve` would run it, or with a "
    "running server, and measure nDCG@10, MRR@10 and recall before and after. For example: "
    f"{command_name()} eval data/trec-dl19.jsonl.gz --depth 100",
    configure=_configure,
    run=_run,
    renamed={"--served-name": "--served-model"},
)
