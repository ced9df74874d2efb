"""Commands of `rerank`, each with the valid files that it reads."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.hub_folder import write_hub_folder
from support.small import write_small_model
from torture.file_fuzz.tables import plain_table

MODEL, HUB_FOLDER = "models/small", "models/hub"
"""Folders of models: a bundle, and a hub folder, which has no digests. No message has these paths by chance."""
SERVER = "SERVER"
"""Stands for the address of the started server in the arguments of a scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A command line that reads files, with paths relative to its folder."""

    name: str
    """A few words for the table of outcomes."""
    arguments: tuple[str, ...]
    files: Mapping[str, bytes]
    """Contents by path. One of them is damaged in each input."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are read, too, and stay whole."""
    output: str = ""
    """The file that the command writes; empty without one."""

    @property
    def title(self) -> str:
        """The command line, which no other scenario has."""
        return " ".join(self.arguments)

    def paths(self) -> tuple[str, ...]:
        """Return the paths of its files, and those of the folders among its arguments that have some of them."""
        folders = [part for part in self.arguments if any(name.startswith(f"{part}/") for name in self._read())]
        return (*self._read(), *folders, *filter(None, [self.output]))

    def _read(self) -> tuple[str, ...]:
        return (*self.files, *self.beside)


def write_models(folder: Path) -> None:
    """Write the models that the scenarios use."""
    write_small_model(folder / MODEL)
    write_hub_folder(folder / HUB_FOLDER)


def scenarios(folder: Path) -> tuple[Scenario, ...]:
    """Return all scenarios. `folder` has the models."""
    return (*_batches(), *_rankings(), *_evaluations(), *_calibrations(), *_models(folder))


def _jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


_PAIRS = [{"id": number, "query": str(number % 3), "document": f"{number} 4 5"} for number in range(6)]
_LISTS = [{"query": "1", "documents": ["1 2", "", "3"]}, {"query": "2", "documents": ["7"]}]
_CSV = b'id,query,document\n1,1,"3 4"\n2,"1 2","5 ""6"""\n3,2,"7\n8"\n'
_TABLES = {
    "pairs.jsonl": _jsonl(*_PAIRS),
    "lists.jsonl": _jsonl(*_LISTS),
    "pairs.jsonl.gz": gzip.compress(_jsonl(*_PAIRS), mtime=0),
    "pairs.csv": _CSV,
    "pairs.tsv": _CSV.replace(b",", b"\t"),
    "pairs.parquet": plain_table(_PAIRS),
    "lists.parquet": plain_table(_LISTS),
}


def _batches() -> Iterator[Scenario]:
    for name, content in _TABLES.items():
        output = f"out-{name}"
        arguments = ("batch", "--model", MODEL, "--restart", name, output)
        yield Scenario(name="batch", arguments=arguments, files={name: content}, output=output)


def _rankings() -> Iterator[Scenario]:
    texts = ["1 2", "30 4", "5"]
    documents = [{"id": number, "text": text} for number, text in enumerate(texts)]
    files = {
        "documents.json": json.dumps(documents).encode(),
        "documents.jsonl": _jsonl(*documents, "6 7"),
        "documents.csv": b'id,text\n1,"1 2"\n2,"30, 4"\n',
        "ranking.tsv": b"rank\tindex\tid\trelevance_score\twindows\tstart\tend\ttruncated\tdocument\n"
        b"1\t0\ta\t0.5\t1\t\t\tfalse\t1\\t2\n",
        "documents.parquet": plain_table(documents),
        "documents.txt": "\n".join(texts).encode(),
    }
    for name, content in files.items():
        arguments = ("rank", "1", "--server", SERVER, "--json", "--file", name)
        yield Scenario(name="rank", arguments=arguments, files={name: content})


def _evaluations() -> Iterator[Scenario]:
    judged = {
        "qid": "1",
        "query": "1 2",
        "documents": [
            {"id": f"d{number}", "text": f"{number}", "bm25": 9 - number, "grade": number % 3} for number in range(4)
        ],
        "grades": [3, 2, 1, 1, 0],
    }
    line = _jsonl(judged, judged | {"qid": 2})
    run = b"".join(
        b"q%d Q0 d%d %d %d.5 bm25\n" % (query, rank, rank, 9 - rank) for query in (1, 2) for rank in range(3)
    )
    queries = [{"_id": f"q{number}", "text": str(number)} for number in (1, 2)]
    corpus = [{"_id": f"d{number}", "title": "1", "text": f"{number} 7"} for number in range(3)]
    beir = {
        "beir/queries.jsonl": _jsonl(*queries),
        "beir/corpus.jsonl": _jsonl(*corpus),
        "beir/qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq1\td0\t1\nq1\td2\t2\nq2\td1\t1\n",
        "beir/run.trec": run,
    }
    trec = {
        "trec/topics.tsv": b"q1\t1 2\nq2\t3\n",
        "trec/corpus.tsv": b"d0\t1 7\nd1\t2\nd2\t3\n",
        "trec/qrels.txt": b"q1 0 d0 1\nq1 0 d2 2\nq2 0 d1 1\n",
        "trec/run.txt": run,
    }
    options = {"--topics": "topics.tsv", "--corpus": "corpus.tsv", "--qrels": "qrels.txt", "--candidates": "run.txt"}
    named = [part for option, name in options.items() for part in (option, f"trec/{name}")]
    for arguments, files in (
        (("judged.jsonl",), {"judged.jsonl": line}),
        (("judged.jsonl.gz",), {"judged.jsonl.gz": gzip.compress(line, mtime=0)}),
        (("beir",), beir),
        (tuple(named), trec),
    ):
        yield Scenario(name="eval", arguments=("eval", "--model", MODEL, *arguments), files=files)


def _calibrations() -> Iterator[Scenario]:
    numbers = [(number, number % 10) for number in range(60)]
    rows = [{"query": str(query), "document": str(worth), "label": int(worth > 4)} for query, worth in numbers]
    lists = {"query": "8", "documents": ["1", {"text": "9", "label": 1}], "labels": [0, 1]}
    arguments = ("calibrate", "--model", MODEL, "--labels", "labels.jsonl", "--dry-run", "--picture", "labels.png")
    yield Scenario(
        name="calibrate", arguments=arguments, files={"labels.jsonl": _jsonl(*rows, lists)}, output="labels.png"
    )


def _models(folder: Path) -> Iterator[Scenario]:
    """Score a file with a model whose files are damaged."""
    for name in (MODEL, HUB_FOLDER):
        files = {f"{name}/{path.name}": path.read_bytes() for path in sorted((folder / name).iterdir())}
        arguments = ("batch", "--model", name, "--restart", "few.jsonl", "out-few.jsonl")
        beside = {"few.jsonl": _jsonl(*_PAIRS[:1])}
        yield Scenario(
            name=f"model ({Path(name).name})", arguments=arguments, files=files, beside=beside, output="out-few.jsonl"
        )
