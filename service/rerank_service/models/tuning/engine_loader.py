"""Load the engines to measure, one at a time, and only if memory allows it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import Engine
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.session import CrossEncoder
from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid, OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.models.token_limits import MIN_TOKENS
from rerank_service.models.tuning.memory_estimate import MemoryCheck
from rerank_service.models.tuning.throughput import Score
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import Batch

_PAIR = Batch(*(np.ones((1, MIN_TOKENS), np.int64) for _ in range(3)))
"""A pair that shows whether a graph runs. Its tokens do not matter."""

EngineCheck = Callable[[Engine, Score], object]
"""Raises BundleInvalid if the score function of an engine returns wrong logits, so that a start would refuse it."""


class EngineNotLoaded(Exception):
    """An engine cannot be measured: it does not load, scores wrongly, or fails on a batch."""

    def __init__(self, skipped: SkippedEngine) -> None:
        super().__init__(skipped.reason)
        self.skipped = skipped


@dataclass(frozen=True, slots=True)
class EngineSet:
    """The engines to measure: a base that stays loaded, and others that are compared with it."""

    base: Engine
    base_score: Score
    others: tuple[Engine, ...]
    load: Callable[[Engine], Score]
    """Loads one of the others, or raises EngineNotLoaded."""

    def score_of(self, engine: Engine) -> Score:
        """Load an engine, unless it is the base, and return a function that scores, or raises EngineNotLoaded.

        The engine that was loaded before may be released, so callers keep no other score function.

        Raises:
            EngineNotLoaded: the engine does not load.
        """
        return self.base_score if engine == self.base else checked(engine, self.load(engine))


def checked(engine: Engine, score: Score) -> Score:
    """Return a function that scores, or raises EngineNotLoaded with the engine and the reason."""

    def checked_score(batch: Batch) -> NDArray[np.float32]:
        try:
            return score(batch)
        except Exception as error:  # whatever the error is, the other engines are measured
            if isinstance(error, OutOfMemory) and batch.rows > 1:  # half of the batch may run
                raise
            raise EngineNotLoaded(_failed_batch(engine, batch, error)) from error

    return checked_score


class EngineLoader:
    """Loads a bundle on one engine after the other. It releases an engine before it loads the next one."""

    def __init__(
        self, bundle: Bundle, cache: Cache, *, lanes: int, memory_check: MemoryCheck, check: EngineCheck
    ) -> None:
        self._bundle = bundle
        self._cache = cache
        self._lanes = lanes
        self._memory_check = memory_check
        self._check = check
        self._loaded: tuple[Engine, CrossEncoder] | None = None

    def score_of(self, engine: Engine) -> Score:
        """Return the score function of an engine; load the engine unless it is the loaded one.

        Raises:
            EngineNotLoaded: there is not enough memory, the engine does not load, or it scores wrongly.
        """
        if self._loaded is None or self._loaded[0] != engine:
            self.release()
            if (shortage := self._memory_check(engine)) is not None:  # the whole limit is in the tuning's key
                raise EngineNotLoaded(SkippedEngine(engine, shortage.reason, transient=not shortage.lasting))
            self._loaded = engine, self.load(engine)
        return self._loaded[1].score

    def load(self, engine: Engine) -> CrossEncoder:
        """Load an engine without the memory check, score a pair with it, and check its logits.

        Raises:
            EngineNotLoaded: the engine does not load, does not run, or scores wrongly.
        """
        try:
            graph = graph_for(self._bundle, engine, self._cache)
            encoder = CrossEncoder(graph, engine, lanes=self._lanes, output=self._bundle.manifest.output_form)
            encoder.score(_PAIR)
            self._check(engine, encoder.score)
        except Exception as error:  # whatever the error is, the other engines are measured
            raise EngineNotLoaded(SkippedEngine(engine, str(error), transient=_is_transient(error))) from error
        return encoder

    def release(self) -> None:
        """Release the loaded engine, if there is one."""
        self._loaded = None


def _failed_batch(engine: Engine, batch: Batch, error: Exception) -> SkippedEngine:
    size = f"{counted(batch.rows, 'pair')} of {counted(batch.length, 'token')}"
    return SkippedEngine(engine, f"fails on {size}: {one_line(error)}", transient=_is_transient(error))


def _is_transient(error: BaseException) -> bool:
    """Return whether a later start may load an engine that failed with this error.

    A graph that an engine rejects stays rejected. A lack of memory, disk space or file handles may end. Unknown errors
    count as transient, so that they are not remembered.
    """
    lasting = isinstance(error, BundleInvalid)
    cause: BaseException | None = error
    while cause is not None:
        if is_out_of_memory(cause) or isinstance(cause, OSError):
            return True
        cause = cause.__cause__
    return not lasting
