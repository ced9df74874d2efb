"""The server and the files that the commands in the pages use."""

import gzip
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import rerank_service
from support.page_blocks import ROOT
from support.process import Process

COLLECTION = ROOT / "docs" / "tutorial" / "help-centre"
_QUERIES, _CANDIDATES = 2, 5


@dataclass(frozen=True, slots=True)
class Server:
    """A started server on ports and on Unix sockets."""

    process: Process
    sockets: Path

    @property
    def grpc(self) -> str:
        """Return the address for gRPC."""
        return self.process.grpc.split(",")[0]

    def addressed(self, text: str) -> str:
        """Return code of a page with the addresses of this server."""
        rest = self.process.rest.split(",")[0].removeprefix("http://")
        for host in ("127.0.0.1", "localhost", "10.0.0.7", "rerank"):
            text = text.replace(f"{host}:8080", rest).replace(f"{host}:50051", self.grpc)
        return text.replace("/run/rerank/", f"{self.sockets}/").replace("dns:///rerank-headless:50051", self.grpc)


def copy_bundle(folder: Path) -> Path:
    """Copy the bundled model, so that the files of the sandboxes are links to the copy and never to the original."""
    return shutil.copytree(Path(rerank_service.__file__).parent / "models" / "starter", folder / "starter")


def write_sandbox(folder: Path, bundle: Path) -> None:
    """Write the files that commands of the pages read. All collections are a part of the tutorial's help centre."""
    (folder / "tests").symlink_to(ROOT / "tests")
    for name in ("docs", "deploy", "proto"):  # commands of the pages write there
        shutil.copytree(ROOT / name, folder / name)
    for name in ("minilm", "my-model"):
        shutil.copytree(bundle, folder / "out" / name, copy_function=os.link)
    _write_collections(folder)
    _write_pairs(folder)


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (COLLECTION / name).read_text().splitlines()]


def _jsonl(rows: Sequence[object]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def _write_collections(folder: Path) -> None:
    """Write the same few queries in all layouts that `rerank eval` reads."""
    queries, documents = _lines("queries.jsonl")[:_QUERIES], _lines("corpus.jsonl")[:_CANDIDATES]
    text = {one["_id"]: f"{one['title']} {one['text']}" for one in documents}
    rank = [(query["_id"], id_, at) for query in queries for at, id_ in enumerate(text, 1)]
    run = "".join(f"{query} Q0 {id_} {at} {-at} bm25\n" for query, id_, at in rank)
    (folder / "bm25.trec").write_text(run)
    (folder / "qrels.txt").write_text("".join(f"{query} 0 {id_} {int(at == 2)}\n" for query, id_, at in rank))
    (folder / "topics.tsv").write_text("".join(f"{query['_id']}\t{query['text']}\n" for query in queries))
    (folder / "collection.tsv").write_text("".join(f"{id_}\t{words}\n" for id_, words in text.items()))
    for name in ("scifact", "nfcorpus"):
        shutil.copytree(COLLECTION, folder / "beir" / name)
        (folder / "beir" / name / "run.trec").write_text(run)
    listed = [
        {
            "qid": query["_id"],
            "query": query["text"],
            "documents": [{"id": id_, "text": words, "grade": int(id_ == "a02")} for id_, words in text.items()],
        }
        for query in queries
    ]
    for name in ("trec-dl19", "homedepot", "wikiqa"):
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(_jsonl(listed).encode()))


def _write_pairs(folder: Path) -> None:
    """Write files of pairs and of labels."""
    (folder / "faq.txt").write_text("Reset a password by mail.\nRefunds take five days.\n")
    (folder / "faq.json").write_text(json.dumps(["Reset a password by mail.", "Refunds take five days."]))
    (folder / "faq.csv").write_text("id,document\n1,Reset a password by mail.\n2,Refunds take five days.\n")
    (folder / "products.csv").write_text("sku,name,text\nA1,Jacket,A warm jacket of down.\nA2,Tent,For two.\n")
    pair = {"query": "capital of France", "document": "Paris is in France."}
    (folder / "pairs.jsonl").write_text(_jsonl([pair]))
    pq.write_table(pa.Table.from_pylist([pair]), folder / "pairs.parquet")
    (folder / "in.csv").write_text("question,text\ncapital of France,Paris is in France.\n")
    candidates = [{"query": "capital of France", "documents": ["Rome is in Italy.", "Paris is in France."]}]
    (folder / "candidates.jsonl.gz").write_bytes(gzip.compress(_jsonl(candidates).encode()))
    texts = [f"{one['title']} {one['text']}" for one in _lines("corpus.jsonl")[:13]]
    labels = [
        {"query": text.split(".")[0], "documents": [texts[at - shift] for shift in range(4)], "labels": [1, 0, 0, 0]}
        for at, text in enumerate(texts)
    ]
    (folder / "labels.jsonl").write_text(_jsonl(labels))
