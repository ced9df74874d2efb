"""Runner of fastembed: TextCrossEncoder with a custom model."""

import math
from typing import Any

from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder

from bench.runners.protocol import Requests, serve

_NAME = "bench/model"
_DEFAULT_BATCH = 64


class Engine:
    """A loaded TextCrossEncoder."""

    def __init__(self, encoder: TextCrossEncoder) -> None:
        self._encoder = encoder

    def prepare(self, requests: Requests) -> Requests:
        """Return the requests: the input is text."""
        return requests

    def run(self, prepared: Requests, batch: int | None) -> list[list[float]]:
        """Score all pairs in one call. fastembed returns logits and does not sort by length."""
        pairs = [(query, document) for query, documents in prepared for document in documents]
        logits = iter(list(self._encoder.rerank_pairs(pairs, batch_size=batch or _DEFAULT_BATCH)))
        return [[1 / (1 + math.exp(-next(logits))) for _ in documents] for _, documents in prepared]


def load(message: dict[str, Any]) -> Engine:
    """Load the graph with the path `graph` in the folder `model`."""
    TextCrossEncoder.add_custom_model(model=_NAME, sources=ModelSource(hf=_NAME), model_file=message["graph"])
    return Engine(TextCrossEncoder(_NAME, threads=message["threads"], specific_model_path=message["model"]))


if __name__ == "__main__":
    serve(load, ("fastembed", "onnxruntime"))
