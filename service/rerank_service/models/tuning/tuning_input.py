"""The input of a full tuning: a model, its defaults, and the pairs of the parity set."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.kinds import Engine
from rerank_service.models.bundle import Bundle
from rerank_service.models.golden_check import GoldenCheck
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.engine_choice import LimitsOn
from rerank_service.models.tuning.record import BatchSetting
from rerank_service.models.tuning.throughput import Score, throughput
from rerank_service.models.variants.cache import Cache
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.scheduling.cost_model import CostModel

QUERIES = 8
"""Number of queries of the parity set for measurements of speed. Rankings are compared on all queries."""


@dataclass(frozen=True, slots=True)
class TuningInput:
    """The model to tune, and the defaults that the tuning starts from."""

    bundle: Bundle
    cache: Cache
    lanes: int
    """Maximum number of lanes."""
    limits_on: LimitsOn
    """Batch limits of an engine without a tuning."""
    queries: tuple[tuple[EncodedPair, ...], ...]
    """The pairs of each query of the parity set."""
    golden: GoldenCheck

    @classmethod
    def read(cls, bundle: Bundle, cache: Cache, limits_on: LimitsOn, *, lanes: int) -> "TuningInput":
        """Encode the parity set for a bundle.

        Raises:
            BundleInvalid: no query fits the model's token limit, or the golden pairs are invalid.
        """
        manifest = bundle.manifest
        tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
        queries = tuple(tuple(query) for query in parity_set.encoded(tokenizer))
        return cls(bundle, cache, lanes, limits_on, queries, GoldenCheck.read(bundle, tokenizer))

    def untuned(self, engine: Engine) -> BatchSetting:
        """Return the setting of an engine without a tuning, with all lanes."""
        return BatchSetting.of(self.limits_on(engine), self.lanes)

    def check(self, engine: Engine, score: Score) -> None:
        """Check an engine by the golden pairs, as a start does.

        Raises:
            BundleInvalid: it scores them differently.
        """
        self.golden.difference(engine, score, self.limits_on(engine))

    @property
    def speed_pairs(self) -> list[EncodedPair]:
        """The pairs with which speed is measured."""
        return [pair for query in self.queries[:QUERIES] for pair in query]

    def speed_of(
        self, engine: Engine, score: Score, setting: BatchSetting, cost: CostModel | None = None
    ) -> Callable[[], float]:
        """Return a function that measures the tokens per second of an engine with a setting, as `throughput`."""
        limits = replace(
            self.limits_on(engine), max_tokens=setting.max_batch_tokens, length_multiple=setting.length_multiple
        )
        pad_id = self.bundle.manifest.pad_id
        return lambda: throughput(score, self.speed_pairs, limits, pad_id=pad_id, lanes=setting.lanes, cost=cost)
