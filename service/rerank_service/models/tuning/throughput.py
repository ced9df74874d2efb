"""Measure tokens per second with the batching code of the server."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import OutOfMemory
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, collate
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.fair_queue import FairQueue

Score = Callable[[Batch], NDArray[np.float32]]
"""Returns the logits of a batch, float32 of shape (rows,)."""
Clock = Callable[[], float]
"""Returns a time in seconds."""
_COARSE = 10 * time.get_clock_info("process_time").resolution
"""Seconds of CPU time that are too few steps of the clock to be compared. A step is a nanosecond on Linux, and 16 ms on
Windows."""

Name = TypeVar("Name")


def batches(pairs: Sequence[EncodedPair], limits: BatchLimits, *, lanes: int) -> Iterator[list[int]]:
    """Yield the positions of the pairs of each batch, as the fair queue forms them when all pairs wait."""
    queue: FairQueue[str, int] = FairQueue(limits, lanes=lanes)
    queue.enter("")
    queue.add("", [(len(pair), position) for position, pair in enumerate(pairs)])
    while batch := queue.take():
        yield batch


def logits(score: Score, pairs: Sequence[EncodedPair], limits: BatchLimits, pad_id: int) -> NDArray[np.float32]:
    """Return the logits of pairs, float32 of shape (pairs,), computed in batches."""
    result = np.empty(len(pairs), np.float32)
    for positions in batches(pairs, limits, lanes=1):
        result[positions] = _scored(score, [pairs[position] for position in positions], limits, pad_id)
    return result


def _scored(score: Score, pairs: Sequence[EncodedPair], limits: BatchLimits, pad_id: int) -> NDArray[np.float32]:
    """Return the logits of a batch. As in the server, it is halved until there is memory for it."""
    try:
        return score(collate(pairs, pad_id=pad_id, limits=limits))
    except OutOfMemory:
        if len(pairs) == 1:
            raise
    middle = len(pairs) // 2
    return np.concatenate([_scored(score, half, limits, pad_id) for half in (pairs[:middle], pairs[middle:])])


def throughput(
    score: Score,
    pairs: Sequence[EncodedPair],
    limits: BatchLimits,
    *,
    pad_id: int,
    lanes: int,
    cost: CostModel | None = None,
    clock: Clock = time.perf_counter,
    cpu_clock: Clock | None = None,
) -> float:
    """Return the tokens per second, without padding, of all lanes together when all pairs wait.

    `cost` learns from each batch. `cpu_clock` returns the CPU time of the process. With it, the CPU time or the
    duration counts, whichever is less: other programs lengthen the duration, and other work of the process both.
    """
    waiting = batches(pairs, limits, lanes=lanes)
    lock = threading.Lock()

    def lane() -> None:
        while True:
            with lock:
                positions = next(waiting, None)
            if positions is None:
                return
            chosen = [pairs[position] for position in positions]
            length = limits.padded(max(map(len, chosen)))
            started = clock()
            _scored(score, chosen, limits, pad_id)
            seconds = clock() - started
            if cost is not None:
                with lock:
                    cost.observe(len(chosen), length, seconds)

    seconds = _stopwatch(clock, cpu_clock)
    with ThreadPoolExecutor(lanes) as pool:
        for running in [pool.submit(lane) for _ in range(lanes)]:
            try:
                running.result()
            finally:
                # its error leads to this frame: with the lane in it, only the garbage collector would free the engine
                del running
    return sum(map(len, pairs)) / seconds()


def _stopwatch(clock: Clock, cpu_clock: Clock | None) -> Clock:
    """Return a function that returns the seconds since now, as `throughput` counts them."""
    started, cpu_started = clock(), cpu_clock() if cpu_clock else 0.0

    def seconds() -> float:
        duration = clock() - started
        cpu_time = cpu_clock() - cpu_started if cpu_clock else 0.0
        return min(duration, cpu_time) if cpu_time > _COARSE else duration

    return seconds


def measure_in_turn(measurements: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, float]:
    """Run all measurements alternately (A B A B) and return the median of each.

    Other load on the machine then affects all of them.
    """
    results: dict[Name, list[float]] = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, measure in measurements.items():
            results[name].append(measure())
    return {name: statistics.median(values) for name, values in results.items()}
