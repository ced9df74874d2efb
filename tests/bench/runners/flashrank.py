"""FlashRank's Ranker, with the model where it looks for one of its own."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from flashrank import Ranker, RerankRequest
from flashrank.Config import model_file_map

from bench.runners.lines import Requests, serve

_NAME = "ms-marco-MiniLM-L-12-v2"
"""A name that it knows; what is in the folder is ours."""


class Engine:
    """A Ranker. It runs all passages of a request as one batch, so a smaller batch is several calls."""

    def __init__(self, ranker: Ranker, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._ranker = ranker
        self._folder = folder  # removed with the engine

    def prepare(self, requests: Requests) -> Requests:
        """Its input is text."""
        return requests

    def run(self, prepared: Requests, batch: int | None) -> list[list[float]]:
        """As in Engine of lines.py."""
        return [self._rank(query, documents, batch or len(documents)) for query, documents in prepared]

    def _rank(self, query: str, documents: list[str], batch: int) -> list[float]:
        scores: dict[int, float] = {}
        for start in range(0, len(documents), batch):
            passages = [{"id": at, "text": documents[at]} for at in range(start, min(start + batch, len(documents)))]
            for one in self._ranker.rerank(RerankRequest(query=query, passages=passages)):
                scores[one["id"]] = float(one["score"])
        return [scores[index] for index in range(len(documents))]


def load(message: dict[str, Any]) -> Engine:
    """`model` is the folder, `graph` the graph's path in it."""
    folder = tempfile.TemporaryDirectory(prefix="flashrank-")
    model, place = Path(message["model"]), Path(folder.name) / _NAME
    place.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(model / name, place)
    shutil.copy(model / message["graph"], place / model_file_map[_NAME])
    return Engine(Ranker(_NAME, cache_dir=folder.name, max_length=512), folder)


if __name__ == "__main__":
    serve(load, ("FlashRank", "onnxruntime"))
