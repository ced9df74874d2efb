"""Reference implementations of onnxruntime's fused operators, for ONNX's reference evaluator.

The operators that remove padding have CUDA kernels only. Source: ContribOperators.md of onnxruntime.
"""

import itertools
import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from rerank_service.engine.runtime import Feed

Array = NDArray[np.float32]


class RemovePadding(OpRun):
    op_domain = "com.microsoft"

    def _run(self, rows: Array, counts: NDArray[np.int32]) -> tuple[NDArray[np.generic], ...]:
        places = np.arange(rows.shape[0] * rows.shape[1], dtype=np.int32).reshape(rows.shape[:2])
        kept = np.arange(rows.shape[1]) < counts[:, None]
        offsets = np.concatenate([places[kept], places[~kept]]).reshape(places.shape)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return rows[kept], offsets, starts, counts.max(keepdims=True)


class RestorePadding(OpRun):
    op_domain = "com.microsoft"

    def _run(self, tokens: Array, offsets: NDArray[np.int32]) -> tuple[Array]:
        rows = np.zeros((offsets.size, tokens.shape[1]), tokens.dtype)
        rows[offsets.ravel()[: len(tokens)]] = tokens
        return (rows.reshape(*offsets.shape, -1),)


class PackedAttention(OpRun):
    op_domain = "com.microsoft"

    def _run(
        self,
        tokens: Array,
        weights: Array,
        bias: Array,
        offsets: NDArray[np.int32],
        starts: NDArray[np.int32],
        *,
        num_heads: int | None = None,
    ) -> tuple[Array]:
        assert num_heads is not None
        parts = np.split(tokens @ weights + bias, 3, axis=-1)
        output = np.empty_like(parts[2])
        for start, end in itertools.pairwise(starts):
            query, key, value = (part[start:end].reshape(end - start, num_heads, -1).swapaxes(0, 1) for part in parts)
            scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
            shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
            shares /= shares.sum(axis=-1, keepdims=True)
            output[start:end] = (shares @ value).swapaxes(0, 1).reshape(end - start, -1)
        return (output,)


class SkipLayerNormalization(OpRun):
    op_domain = "com.microsoft"

    def _run(
        self, x: Array, skip: Array, gamma: Array, beta: Array, *bias: Array, epsilon: float = 1e-12
    ) -> tuple[Array]:
        x = x + skip + sum(bias)
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
        return ((centred / deviation * gamma + beta).astype(np.float32),)


class BiasGelu(OpRun):
    op_domain = "com.microsoft"

    def _run(self, x: Array, bias: Array) -> tuple[Array]:
        return (_gelu(x + bias),)


class Gelu(OpRun):
    op_domain = "com.microsoft"

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        assert approximate == "none"
        return (_gelu(x),)


def _gelu(x: Array) -> Array:
    result: Array = (x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2).astype(np.float32)
    return result


_OPERATORS: list[type[OpRun]] = [
    RemovePadding,
    RestorePadding,
    PackedAttention,
    SkipLayerNormalization,
    BiasGelu,
    Gelu,
]


def reference_logits(model: onnx.ModelProto, feed: Feed) -> Array:
    """Return the logits of a graph with these operators, computed by numpy."""
    evaluator = ReferenceEvaluator(model, new_ops=_OPERATORS)
    results = evaluator.run(None, {put.name: feed[put.name] for put in model.graph.input})
    assert isinstance(results, list)
    logits: Array = results[0]
    return logits
