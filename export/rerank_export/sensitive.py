"""Which products lose most in 8 bits: found by quantising each alone, and left out until the rest ranks as fp32 does.

What products do to a logit adds up as noise does, squares of differences: on the starter the whole is within a tenth of
the root of what its 36 products do one by one. So each is measured once, and those are left out first that disturb most
for what they save.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from rerank_export.weights import save
from rerank_service.cli.output.progress import progress
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.gate import LEAST_TAU
from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.int8 import products, quantize_rows
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

SECONDS = 900.0
"""That measuring one by one may take; what was not measured by then is left out first."""
LEAST_SHARE = 0.1
"""Of the multiplications by weights in 8 bits: with less there is no speed to gain (docs/performance.md)."""
_ENOUGH = LEAST_TAU + 0.001
"""On the sample, whose documents are cut, agreement is a little higher than on the whole set."""
_PAIRS = 2
"""Of each query, that a single product's influence is measured on."""
_STEPS = 12
"""Into which the products are divided, when a few more are left out."""
_TRIED = ".tried.onnx"


@dataclass(frozen=True, slots=True)
class Product:
    """A product of activations with constant weights."""

    name: str
    size: int
    """Multiplications for a token."""
    influence: float
    """Mean difference of a logit when it alone is in 8 bits; infinite where it was not measured."""


class Sensitivity:
    """Of one bundle's reference graph. Files are tried in the bundle's folder, since graphs find their weights beside
    them, and are gone afterwards."""

    def __init__(
        self,
        bundle: Bundle,
        queries: Sequence[Sequence[EncodedPair]],
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queries` are the sample: pairs of each of some queries."""
        self._bundle = bundle
        self._queries = queries
        self._few = [query[number % len(query) :][:_PAIRS] for number, query in enumerate(queries)]
        self._seconds = seconds
        self._clock = clock
        self._limits = BatchLimits(max_length=bundle.manifest.max_tokens)

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """All, those first that are to be left out first."""
        sizes = _sizes(onnx.load(self._bundle.graph, load_external_data=False))
        expected = self._logits(CrossEncoder(self._bundle.graph), self._few)
        ends = self._clock() + self._seconds
        found = []
        with progress("which products bear 8 bits", len(sizes)) as advance:
            for name in sorted(sizes, key=lambda one: -sizes[one]):  # should time run out, the large are known
                influence = float("inf")
                if self._clock() < ends:
                    seen = self._logits(self._quantized(sizes.keys() - {name}), self._few)
                    influence = float(np.abs(np.concatenate(seen) - np.concatenate(expected)).mean())
                found.append(Product(name, sizes[name], influence))
                advance(1)
        return tuple(sorted(found, key=lambda one: -(one.influence**2) / one.size))

    def candidates(self) -> Iterator[tuple[str, ...]]:
        """What to leave out: by the sample, as little as will do; then more and more, as long as there is speed to
        gain. At least one."""
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
        """How few are enough on the sample, by halving; `most` where even those are not."""
        low, high = min(1, most), most
        with progress("how many of them", max(1, most.bit_length())) as advance:
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._agrees(self._names(middle)) else (middle + 1, high)
                advance(1)
        return low

    @cached_property
    def _expected(self) -> list[NDArray[np.float32]]:
        return self._logits(CrossEncoder(self._bundle.graph), self._queries)

    def _agrees(self, left_out: Collection[str]) -> bool:
        """Whether the sample is ranked as by fp32."""
        seen = self._logits(self._quantized(left_out), self._queries)
        taus = [kendall_tau_b(ours, theirs) for ours, theirs in zip(seen, self._expected, strict=True)]
        return bool(np.mean(taus) >= _ENOUGH)

    def _names(self, count: int) -> tuple[str, ...]:
        return tuple(product.name for product in self.products[:count])

    def _logits(self, encoder: CrossEncoder, queries: Sequence[Sequence[EncodedPair]]) -> list[NDArray[np.float32]]:
        return [logits(encoder.score, query, self._limits, self._bundle.manifest.pad_id) for query in queries]

    def _quantized(self, left_out: Collection[str]) -> CrossEncoder:
        path = self._bundle.folder / _TRIED
        with ExitStack() as gone:
            for name in (_TRIED, f"{_TRIED}.data"):
                gone.callback((self._bundle.folder / name).unlink, missing_ok=True)
            write_int8(self._bundle, path, left_out)
            return CrossEncoder(path)


def write_int8(bundle: Bundle, path: Path, left_out: Collection[str]) -> int:
    """Write the reference graph in 8 bits beside it, but for what is left out; what stays as it is refers to the
    reference's weights. Gives how many products are in 8 bits."""
    model = onnx.load(bundle.graph, load_external_data=False)
    rewritten = quantize_rows(model, bundle.folder, left_out)
    save(model, path, f"{path.name}.data")
    return rewritten


def _sizes(model: onnx.ModelProto) -> Mapping[str, int]:
    return {name: rows * columns for name, (rows, columns) in products(model).items()}
