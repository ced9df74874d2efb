"""Loading the engines that are measured: one at a time, and only where memory is left for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rerank_service.engine.available import Skipped
from rerank_service.engine.kinds import Engine
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import MIN_TOKENS
from rerank_service.models.tuning.throughput import Score
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import Batch

_PAIR = Batch(*(np.ones((1, MIN_TOKENS), np.int64) for _ in range(3)))
"""Any tokens do, to see that a graph runs."""

Lacking = Callable[[Engine], str | None]
"""Says why memory does not allow an engine; None if it does."""


class NotLoaded(Exception):
    """An engine cannot be measured."""

    def __init__(self, skipped: Skipped) -> None:
        super().__init__(skipped.why)
        self.skipped = skipped


@dataclass(frozen=True, slots=True)
class Contest:
    """The engines to measure: a base that stays loaded, and others that are compared with it."""

    base: Engine
    base_score: Score
    others: tuple[Engine, ...]
    score_of: Callable[[Engine], Score]
    """Loads one of the others, and raises NotLoaded. The one that it loaded before may be gone then, so callers keep
    no other score."""


class Candidates:
    """Loads a bundle on one engine after the other. The former is released before the next one is loaded."""

    def __init__(self, bundle: Bundle, cache: Cache, *, lanes: int, lacking: Lacking) -> None:
        self._bundle = bundle
        self._cache = cache
        self._lanes = lanes
        self._lacking = lacking
        self._loaded: tuple[Engine, CrossEncoder] | None = None

    def score_of(self, engine: Engine) -> Score:
        """Return the score function of an engine, loaded if it is not the one that is.

        Raises:
            NotLoaded: memory does not allow it, or it does not load.
        """
        if self._loaded is None or self._loaded[0] != engine:
            self.release()
            if (why := self._lacking(engine)) is not None:
                raise NotLoaded(Skipped(engine, why))  # for this limit, which is part of the key of what is kept
            self._loaded = engine, self.load(engine)
        return self._loaded[1].score

    def load(self, engine: Engine) -> CrossEncoder:
        """Load an engine, whatever memory is left, and score a pair with it.

        Raises:
            NotLoaded: it does not load, or does not run.
        """
        try:
            graph = graph_for(self._bundle, engine, self._cache)
            encoder = CrossEncoder(graph, engine, lanes=self._lanes, difference=self._bundle.manifest.difference)
            encoder.score(_PAIR)
        except Exception as error:  # whatever one engine fails with, the others are measured
            raise NotLoaded(Skipped(engine, str(error), passing=_passes(error))) from error
        return encoder

    def release(self) -> None:
        """Let go of the engine that is loaded."""
        self._loaded = None


def _passes(error: BaseException) -> bool:
    """Return whether a later start may load what this one could not.

    That an engine refuses a graph lasts. For want of memory, disk or open files it may fail once, and what we do not
    know is not to be remembered.
    """
    lasting = isinstance(error, BundleInvalid)
    cause: BaseException | None = error
    while cause is not None:
        if is_out_of_memory(cause) or isinstance(cause, OSError):
            return True
        cause = cause.__cause__
    return not lasting
