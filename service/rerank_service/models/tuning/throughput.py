"""Tokens a second, by the code that serves."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, collate
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.fair_queue import FairQueue

Score = Callable[[Batch], NDArray[np.float32]]
Clock = Callable[[], float]

Name = TypeVar("Name")


def batches(pairs: Sequence[EncodedPair], limits: BatchLimits, *, lanes: int) -> Iterator[list[int]]:
    """Positions of the pairs of each batch, as the fair queue forms them when all wait at once."""
    queue: FairQueue[str, int] = FairQueue(limits, lanes=lanes)
    queue.enter("")
    queue.add("", [(len(pair), position) for position, pair in enumerate(pairs)])
    while batch := queue.take():
        yield batch


def logits(score: Score, pairs: Sequence[EncodedPair], limits: BatchLimits, pad_id: int) -> NDArray[np.float32]:
    """Logits of pairs, float32 of shape (pairs,), computed in batches as the lanes would."""
    result = np.empty(len(pairs), np.float32)
    for batch in batches(pairs, limits, lanes=1):
        result[batch] = score(collate([pairs[at] for at in batch], pad_id=pad_id, limits=limits))
    return result


def throughput(
    score: Score,
    pairs: Sequence[EncodedPair],
    limits: BatchLimits,
    *,
    pad_id: int,
    lanes: int,
    cost: CostModel | None = None,
    clock: Clock = time.perf_counter,
) -> float:
    """Real tokens a second when all pairs wait at once, of all lanes together; `cost` is taught each batch."""
    waiting = batches(pairs, limits, lanes=lanes)
    lock = threading.Lock()

    def lane() -> None:
        while True:
            with lock:
                positions = next(waiting, None)
            if positions is None:
                return
            batch = collate([pairs[at] for at in positions], pad_id=pad_id, limits=limits)
            begun = clock()
            score(batch)
            seconds = clock() - begun
            if cost is not None:
                with lock:
                    cost.observe(batch.rows, batch.length, seconds)

    begun = clock()
    with ThreadPoolExecutor(lanes) as pool:
        for running in [pool.submit(lane) for _ in range(lanes)]:
            running.result()
    return sum(map(len, pairs)) / (clock() - begun)


def in_turn(contestants: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, float]:
    """The median of each, measured A B A B, so that what else the machine does falls on all."""
    seen: dict[Name, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            seen[name].append(measure())
    return {name: statistics.median(values) for name, values in seen.items()}
