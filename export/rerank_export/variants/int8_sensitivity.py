"""The choice of matrix products that stay in fp32 so that the rest in int8 ranks like fp32.

Each product is quantized alone, and the change of the logits is its influence. Influences add up like noise: their
squares add up. On the starter model of version 0.1 the change by the whole graph is within 10 % of the root of the sum
of squares of its 36 products. So each product is measured once, and those with the most influence for their
size are left out first.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from rerank_export.graph.weight_storage import save_graph
from rerank_export.reporter import Progress, no_progress
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.ranking_comparison import MIN_TAU
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.constant_products import products
from rerank_service.models.variants.int8 import quantize_rows
from rerank_service.scheduling.batching import EncodedPair

SAMPLE_QUERIES = 16
"""Queries of the parity set in the sample that products are measured on."""
SAMPLE_DOCUMENT_TOKENS = 64
"""Tokens of each of their documents. Whole documents would take too long."""
SECONDS = 900.0
"""Time limit for measuring the products. A product that was not measured in time is left out first."""
LEAST_SHARE = 0.1
"""Least share of the multiplications by weights in int8. With less, int8 is not faster (docs/performance.md)."""
SAMPLE_MIN_TAU = MIN_TAU + 0.001
"""Least mean Kendall tau-b on the sample. It is stricter than the gate, since short documents agree a little better."""
_PAIRS = 2
"""Pairs of each query that a single product is measured on."""
_STEPS = 12
"""Each further candidate leaves out one of so many parts of the products."""
_ATTEMPT = ".attempt.onnx"


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product of activations with constant weights."""

    name: str
    size: int
    """Multiplications per token."""
    influence: float
    """Mean absolute change of a logit when only this product is in int8; infinite if it was not measured."""


class Sensitivity:
    """The influence of each product of a bundle's reference graph.

    Graphs are tried in the bundle's folder, because they find their weights beside them, and removed afterwards.
    """

    def __init__(
        self,
        bundle: Bundle,
        queries: Sequence[Sequence[EncodedPair]],
        *,
        progress: Progress = no_progress,
        seconds: float = SECONDS,
        least_tau: float = SAMPLE_MIN_TAU,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Measure on a sample: the pairs of some queries. `clock` counts seconds."""
        self._bundle = bundle
        self._queries = queries
        self._few = [query[number % len(query) :][:_PAIRS] for number, query in enumerate(queries)]
        self._progress = progress
        self._seconds = seconds
        self._least_tau = least_tau
        self._clock = clock
        self._limits = replace(CPU_LIMITS, max_length=bundle.manifest.max_tokens)

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """All products, in the order in which they are left out."""
        sizes = _sizes(onnx.load(self._bundle.graph, load_external_data=False))
        expected = self._logits(CrossEncoder(self._bundle.graph), self._few)
        deadline = self._clock() + self._seconds
        measured = []
        with self._progress("measuring the int8 sensitivity", len(sizes)) as advance:
            for name in sorted(sizes, key=lambda name: -sizes[name]):  # large ones first, in case time runs out
                influence = float("inf")
                if self._clock() < deadline:
                    found = self._logits(self._quantized(sizes.keys() - {name}), self._few)
                    influence = float(np.abs(np.concatenate(found) - np.concatenate(expected)).mean())
                measured.append(Product(name, sizes[name], influence))
                advance(1)
        return tuple(sorted(measured, key=lambda product: -(product.influence**2) / product.size))

    def candidates(self) -> Iterator[tuple[str, ...]]:
        """Yield lists of products to leave out: the shortest that passes on the sample, then longer ones.

        There is at least one list. They end where less than LEAST_SHARE of the multiplications would be in int8.
        """
        if self._agrees(()):
            yield ()
        whole = sum(product.size for product in self.products)
        left = [1 - out / whole for out in accumulate((product.size for product in self.products), initial=0)]
        most = max(count for count, share in enumerate(left) if share >= LEAST_SHARE)
        count = self._least(most)
        while count <= most:
            yield self._names(count)
            count += max(1, len(self.products) // _STEPS)

    def _least(self, most: int) -> int:
        """Return the least number of products to leave out, by bisection; `most` if even that does not pass."""
        low, high = min(1, most), most
        with self._progress("choosing the products that stay in fp32", max(1, most.bit_length())) as advance:
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._agrees(self._names(middle)) else (middle + 1, high)
                advance(1)
        return low

    @cached_property
    def _expected(self) -> list[NDArray[np.float32]]:
        return self._logits(CrossEncoder(self._bundle.graph), self._queries)

    def _agrees(self, left_out: Collection[str]) -> bool:
        """Return True if the graph without these products in int8 ranks the sample like fp32."""
        found = self._logits(self._quantized(left_out), self._queries)
        taus = [kendall_tau_b(ours, theirs) for ours, theirs in zip(found, self._expected, strict=True)]
        return bool(np.mean(taus) >= self._least_tau)

    def _names(self, count: int) -> tuple[str, ...]:
        return tuple(product.name for product in self.products[:count])

    def _logits(self, encoder: CrossEncoder, queries: Sequence[Sequence[EncodedPair]]) -> list[NDArray[np.float32]]:
        return [logits(encoder.score, query, self._limits, self._bundle.manifest.pad_id) for query in queries]

    def _quantized(self, left_out: Collection[str]) -> CrossEncoder:
        path = self._bundle.folder / _ATTEMPT
        with ExitStack() as cleanup:
            for name in (_ATTEMPT, f"{_ATTEMPT}.data"):
                cleanup.callback((self._bundle.folder / name).unlink, missing_ok=True)
            write_int8(self._bundle, path, left_out)
            return CrossEncoder(path)


def write_int8(bundle: Bundle, path: Path, left_out: Collection[str]) -> int:
    """Write the reference graph in int8, except the products in `left_out`, and return how many products are in int8.

    `path` lies in the bundle's folder: unchanged weights refer to the weight file of the reference graph.
    """
    model = onnx.load(bundle.graph, load_external_data=False)
    rewritten = quantize_rows(model, bundle.folder, left_out)
    save_graph(model, path, f"{path.name}.data")
    return rewritten


def _sizes(model: onnx.ModelProto) -> Mapping[str, int]:
    return {name: rows * columns for name, (rows, columns) in products(model).items()}
