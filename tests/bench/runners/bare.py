"""This server's engine without the server: pairs are tokenized and sorted in advance, and every lane is busy.

This is the upper bound of the server's throughput. The session is the one that the server has with the same RERANK_…
variables, so both run the same variant.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from bench.environments import our_runtime
from bench.runners.protocol import Requests, serve
from rerank_service.engine.host import limit_tokenizer_threads
from rerank_service.models.loading import load_selected
from rerank_service.models.served_model import ServedModel
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate
from rerank_service.settings import Settings
from rerank_service.wiring import single_model_options


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pairs in descending order of length, with their positions in the requests."""

    pairs: Sequence[EncodedPair]
    places: Sequence[tuple[int, int]]
    """Request number and document index of each pair."""
    documents: Sequence[int]
    """Number of documents of each request."""


class Engine:
    """A loaded model with its lanes."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self.lanes = model.scheduler.lanes
        self._pool = ThreadPoolExecutor(self.lanes)

    def prepare(self, requests: Requests) -> Prepared:
        """Tokenize all pairs and sort them by length."""
        tokenizer = self._model.tokenizer
        encoded = [
            (pair, (at, index))
            for at, (query, documents) in enumerate(requests)
            for index, pair in enumerate(tokenizer.encode_documents(tokenizer.encode_query(query), documents))
        ]
        encoded.sort(key=lambda entry: -len(entry[0]))
        pairs, places = zip(*encoded, strict=True)
        return Prepared(pairs, places, [len(documents) for _, documents in requests])

    def run(self, prepared: Prepared, batch: int | None) -> list[list[float]]:
        """Return the probabilities. `batch` is the maximum number of padded tokens; None for the server's setting."""
        limits = self._model.scheduler.limits
        limits = replace(limits, max_tokens=batch or limits.max_tokens)
        batches = plan([len(pair) for pair in prepared.pairs], limits)
        scores = [[math.nan] * documents for documents in prepared.documents]
        waiting, taking = iter(batches), Lock()

        def lane() -> None:
            while (span := _next(waiting, taking)) is not None:
                arrays = collate(prepared.pairs[span], pad_id=self._model.bundle.manifest.pad_id, limits=limits)
                logits = self._model.encoder.score(arrays, CancelToken()).tolist()
                for (at, index), logit in zip(prepared.places[span], logits, strict=True):
                    scores[at][index] = 1 / (1 + math.exp(-logit))

        for done in [self._pool.submit(lane) for _ in range(self.lanes)]:
            done.result()
        return scores


def plan(lengths: Sequence[int], limits: BatchLimits) -> list[slice]:
    """Split pairs, the longest first, into batches within the limits."""
    batches, start = [], 0
    while start < len(lengths):
        rows = max(1, min(limits.max_pairs, limits.max_tokens // limits.padded(lengths[start])))
        batches.append(slice(start, min(start + rows, len(lengths))))
        start += rows
    return batches


def _next(waiting: Iterator[slice], taking: Lock) -> slice | None:
    with taking:
        return next(waiting, None)


def load(message: dict[str, Any]) -> Engine:
    """Load the bundle `model`."""
    limit_tokenizer_threads()
    return Engine(load_selected(single_model_options(Settings(model=Path(message["model"])))))


if __name__ == "__main__":
    serve(load, ("rerank-service", our_runtime(), "tokenizers", "numpy", "grpcio"))
