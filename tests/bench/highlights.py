"""`make bench-highlights`: how often the answer's sentence is among the first highlights, and what highlights cost.

The questions are those of `highlights.jsonl`, or of a collection of questions with graded sentences of one article, as
WikiQA in the format of `rerank eval` is: its sentences are put together again as one passage.

The cost is that of a request with 25 passages, and of the movies of `docs/examples`; five are returned.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arguments import bench_parser
from bench.servers import our_server
from rerank.client import RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.tools.evaluation.collection import Subset
from rerank_service.tools.evaluation.jsonl import read_jsonl

_QUESTIONS = Path(__file__).with_name("highlights.jsonl")
_MOVIES = Path(__file__).parents[2] / "docs" / "examples" / "movies.json"
_MOVIE_QUERY = "super hero mystery action movie about bats"
_ALL = 100
_TOP_N = 5
_MARKED = 2
_PASSAGES = 25
Span = tuple[int, int]
EXAMPLES = (
    ("our questions, with the bundled model", ""),
    (
        "a collection and a model of your own, few timings",
        "--model out/my-model --collection wikiqa.jsonl.gz --rounds 5",
    ),
)
"""Examples of --help."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and a passage with its answer."""

    text: str
    passage: str
    answers: Sequence[Span]
    """The sentences that answer it, as positions in the passage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The place of an answer among the sentences of its passage."""

    rank: int
    """From 1. Larger than the number of sentences if no highlight is an answer."""
    in_first_two: bool
    """True if the answer is one of the first two sentences of the passage."""
    answers: int
    sentences: int
    marked_share: float
    """Characters of the first two highlights, as a share of the passage."""


def main(argv: Sequence[str]) -> int:
    """Measure, and print two tables."""
    arguments = _arguments(argv)
    questions = list(_of_collection(arguments.collection) if arguments.collection else _own())
    with (
        tempfile.TemporaryDirectory() as folder,
        our_server(Path(folder) / "server.log", arguments.model, ("--tune", "off")) as server,
        RerankClient(server.grpc) as client,
    ):
        _print_quality([_find(client, question) for question in questions])
        passages = [question.passage for question in questions[:_PASSAGES]]
        _print_costs(
            f"{len(passages)} passages",
            lambda **options: client.rerank(questions[0].text, passages, **options),
            arguments,
        )
        movies = [pb.Document(json=json.dumps(movie)) if isinstance(movie, dict) else movie for movie in _movies()]
        _print_costs("movies", lambda **options: client.rerank(_MOVIE_QUERY, movies, **options), arguments)
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("highlights", __doc__, EXAMPLES)
    parser.add_argument("--model", type=Path, help="bundle (default: the bundled model)")
    parser.add_argument("--collection", type=Path, help="questions with graded sentences of one article (.jsonl[.gz])")
    parser.add_argument("--rounds", type=int, default=20, help="requests of each timing (default: %(default)s)")
    return parser.parse_args(argv)


def _own() -> Iterator[Question]:
    for line in _QUESTIONS.read_text().splitlines():
        entry = json.loads(line)
        start = entry["passage"].index(entry["answer"])
        yield Question(entry["question"], entry["passage"], [(start, start + len(entry["answer"]))])


def _of_collection(path: Path) -> Iterator[Question]:
    """Yield the questions that a sentence answers. The numbers in the ids are the order of the sentences."""
    for query in read_jsonl(path, Subset()).queries:
        passage, answers = "", []
        for sentence in sorted(query.candidates, key=lambda each: int(each.id.lstrip("d"))):
            start = len(passage)
            passage += sentence.text + "\n\n"
            if sentence.grade > 0:
                answers.append((start, start + len(sentence.text)))
        if answers:
            yield Question(query.text, passage, answers)


def _movies() -> list[Any]:
    movies: list[Any] = json.loads(_MOVIES.read_text())
    return movies


def _find(client: RerankClient, question: Question) -> Found:
    (result,) = client.rerank(question.text, [question.passage], highlights=_ALL).results
    spans = [(each.span.start, each.span.end) for each in result.highlights]
    answering = [any(_overlaps(span, answer) for answer in question.answers) for span in spans]
    marked = sum(end - start for start, end in spans[:_MARKED])
    first_two = sorted(spans)[:_MARKED]
    return Found(
        rank=answering.index(True) + 1 if any(answering) else len(spans) + 1,
        in_first_two=any(_overlaps(span, answer) for span in first_two for answer in question.answers),
        answers=sum(answering),
        sentences=len(spans),
        marked_share=marked / len(question.passage),
    )


def _overlaps(span: Span, answer: Span) -> bool:
    """Return whether a span holds at least half of the answer."""
    return 2 * (min(span[1], answer[1]) - max(span[0], answer[0])) >= answer[1] - answer[0]


def _chance(found: Found) -> float:
    """Return the probability that one of two random sentences is an answer."""
    others = found.sentences - found.answers
    missed = others * (others - 1) / max(1, found.sentences * (found.sentences - 1))
    return 1.0 if found.sentences <= _MARKED else 1 - missed


def _print_quality(found: Sequence[Found]) -> None:
    def share(holds: Callable[[Found], float]) -> str:
        return f"{statistics.fmean(map(holds, found)):.0%}"

    columns = ["questions", "sentences per passage", "answer first", "among the first two", "by chance"]
    columns += ["first two sentences of the passage", "text in the first two highlights"]
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {len(found)} | {statistics.fmean(each.sentences for each in found):.1f} "
        f"| {share(lambda each: each.rank == 1)} | {share(lambda each: each.rank <= _MARKED)} | {share(_chance)} "
        f"| {share(lambda each: each.in_first_two)} | {share(lambda each: each.marked_share)} |"
    )


def _print_costs(name: str, rank: Callable[..., pb.RerankResponse], arguments: argparse.Namespace) -> None:
    print(f"\n| {name}, top_n {_TOP_N} | pairs | tokens | ms (median) |\n|---|---|---|---|")
    for label, count in (("without highlights", 0), (f"highlights: {_MARKED}", _MARKED)):
        seconds = []
        for _ in range(arguments.rounds + 1):
            begun = time.perf_counter()
            usage = rank(top_n=_TOP_N, highlights=count).usage
            seconds.append(time.perf_counter() - begun)
        print(f"| {label} | {usage.pairs} | {usage.prompt_tokens:,} | {1000 * statistics.median(seconds[1:]):.1f} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
