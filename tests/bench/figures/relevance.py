"""Relevance loss of every system on the same queries of the parity set.

Models are loaded by a path, and some peers omit inputs or quantise too much: a fast system may rank wrongly.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.pool import Loss, SystemPool
from bench.running_systems import RunningSystem
from bench.systems import System
from rerank_service.models.tuning.parity_set import queries
from rerank_service.models.tuning.relevance_loss import relevance_loss
from rerank_service.tools.loadtest.workload import Request

Logits = NDArray[np.float32]

_CHARACTERS = 300
"""Length to which documents are cut, so that every system reads all of a pair: it has at most 512 tokens."""
_SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, where a logit would be infinite."""


def parity_requests(count: int) -> list[Request]:
    """Return the first queries of the parity set, with all of their candidates."""
    return [
        Request(query.text, tuple(document[:_CHARACTERS] for document in query.documents))
        for query in queries()[:count]
    ]


def take(pool: SystemPool, reference: System, requests: Sequence[Request]) -> None:
    """Record the loss of every system. `reference` is the system whose probabilities are the gains."""
    pool.say(f"relevance loss on {len(requests)} queries of the parity set")
    if reference not in pool.systems():
        return
    expected = pool.ask(reference, partial(_logits, requests, None))
    for system in pool.systems():
        record = pool.records[system]
        measured = pool.ask(system, partial(_logits, requests, record.batch))
        if expected is not None and measured is not None:
            record.loss = loss_of(expected, measured)


def loss_of(expected: Sequence[Logits], measured: Sequence[Logits]) -> Loss:
    """Return the loss over several queries; both have one array of logits for each query."""
    losses = [relevance_loss(*pair) for pair in zip(expected, measured, strict=True)]
    return Loss(float(np.mean(losses)), max(losses), len(losses))


def _logits(requests: Sequence[Request], batch: int | None, running: RunningSystem) -> list[Logits]:
    return [logits_of(running.scores(request, batch)) for request in requests]


def logits_of(probabilities: Sequence[float]) -> Logits:
    """Return the logits of probabilities; NaN stays NaN."""
    clipped = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.log(clipped / (1 - clipped)).astype(np.float32)
