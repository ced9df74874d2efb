"""This server's engine without the server: tokens made beforehand, pairs sorted, every lane busy.

What the server can reach at best. It has the very session that the server would have with the same variables
(RERANK_PRECISION and the like), so that both run the same variant.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from bench.environments import our_runtime
from bench.runners.lines import Requests, serve
from rerank_service.engine.host import usable_cores
from rerank_service.models.loading import load_selected
from rerank_service.models.served_model import ServedModel
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate
from rerank_service.settings import Settings
from rerank_service.wiring import model_options


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pairs in the order of their lengths, the longest first, and where each came from."""

    pairs: Sequence[EncodedPair]
    places: Sequence[tuple[int, int]]
    """Request and document of each pair."""
    documents: Sequence[int]
    """Of each request."""


class Engine:
    """A loaded model."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._lanes = model.scheduler._lanes
        self._pool = ThreadPoolExecutor(self._lanes)

    def prepare(self, requests: Requests) -> Prepared:
        """Tokenize and sort."""
        tokenizer = self._model.tokenizer
        encoded = [
            (pair, (at, index))
            for at, (query, documents) in enumerate(requests)
            for index, pair in enumerate(tokenizer.encode_documents(tokenizer.encode_query(query), documents))
        ]
        encoded.sort(key=lambda one: -len(one[0]))
        pairs, places = zip(*encoded, strict=True)
        return Prepared(pairs, places, [len(documents) for _, documents in requests])

    def run(self, prepared: Prepared, batch: int | None) -> list[list[float]]:
        """`batch` is a budget of padded tokens."""
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

        for done in [self._pool.submit(lane) for _ in range(self._lanes)]:
            done.result()
        return scores


def plan(lengths: Sequence[int], limits: BatchLimits) -> list[slice]:
    """Cut pairs, the longest first, into batches within the limits."""
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
    """`model` is the bundle."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(usable_cores()))
    return Engine(load_selected(model_options(Settings(model=Path(message["model"])))))


if __name__ == "__main__":
    serve(load, ("rerank-service", our_runtime(), "tokenizers", "numpy", "grpcio"))
