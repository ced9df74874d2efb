"""Runner of FlashRank: Ranker, with our model under the name of one of its own."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from flashrank import Ranker, RerankRequest
from flashrank.Config import model_file_map

from bench.runners.protocol import Requests, serve

_NAME = "ms-marco-MiniLM-L-12-v2"
"""A name that FlashRank knows; the folder has our model."""


class Engine:
    """A loaded Ranker. It runs all passages of a call as one batch, so smaller batches need several calls."""

    def __init__(self, ranker: Ranker, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._ranker = ranker
        self._folder = folder  # removed with the engine

    def prepare(self, requests: Requests) -> Requests:
        """Return the requests: the input is text."""
        return requests

    def run(self, prepared: Requests, batch: int | None) -> list[list[float]]:
        """Score the requests; see `protocol.Engine.run`."""
        return [self._rank(query, documents, batch or len(documents)) for query, documents in prepared]

    def _rank(self, query: str, documents: list[str], batch: int) -> list[float]:
        scores: dict[int, float] = {}
        for start in range(0, len(documents), batch):
            passages = [{"id": at, "text": documents[at]} for at in range(start, min(start + batch, len(documents)))]
            for result in self._ranker.rerank(RerankRequest(query=query, passages=passages)):
                scores[result["id"]] = float(result["score"])
        return [scores[index] for index in range(len(documents))]


def load(message: dict[str, Any]) -> Engine:
    """Load the graph with the path `graph` in the folder `model`."""
    folder = tempfile.TemporaryDirectory(prefix="flashrank-")
    model, place = Path(message["model"]), Path(folder.name) / _NAME
    place.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(model / name, place)
    shutil.copy(model / message["graph"], place / model_file_map[_NAME])
    return Engine(Ranker(_NAME, cache_dir=folder.name, max_length=512), folder)


if __name__ == "__main__":
    serve(load, ("FlashRank", "onnxruntime"))
