"""The cross-encoder: ONNX Runtime, arrays in, logits out."""

import os
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_service.batching import Batch
from rerank_service.bundle import Bundle
from rerank_service.errors import BundleInvalid
from rerank_service.provider import ORT_NAME, Provider
from rerank_service.stop import Stop

# onnxruntime reports to Microsoft unless this is set before it is imported (its docs/Privacy.md)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class CrossEncoder:
    """A session that scores batches. `score` blocks, releases the GIL and may be called from several threads:
    they share the weights, and each call computes on the thread that made it."""

    def __init__(self, bundle: Bundle, provider: Provider = Provider.AUTO) -> None:
        """Load a bundle's graph.

        Raises:
            BundleInvalid: ONNX Runtime refuses the graph, the provider is not there, or the graph is no
                cross-encoder with one logit a pair.
        """
        self.precision: str = bundle.manifest.variants[0].precision
        self._session = _open(bundle.graph, provider)
        self.provider: str = self._session.get_providers()[0]
        self._inputs = [put.name for put in self._session.get_inputs()]
        unknown = [name for name in self._inputs if name not in _INPUTS]
        if unknown:
            raise BundleInvalid(f"{bundle.graph} wants inputs that a cross-encoder has not: {', '.join(unknown)}")
        self._output = self._session.get_outputs()[0].name

    def score(self, batch: Batch, stop: Stop | None = None) -> NDArray[np.float32]:
        """Logits, float32 of shape (rows,). Raises, what is not said, when it is stopped: between two nodes of the
        graph, so where a provider runs all of it as one node it is not."""
        feed = {name: getattr(batch, name) for name in self._inputs}
        options = ort.RunOptions()
        if stop is not None:
            stop.by(partial(setattr, options, "terminate", True))
        logits: NDArray[np.float32] = self._session.run([self._output], feed, options)[0]
        return logits.reshape(batch.rows).astype(np.float32, copy=False)


def _open(graph: Path, provider: Provider) -> ort.InferenceSession:
    """`auto` takes the first provider that works. One asked for by name that does not is an error: onnxruntime
    by itself would only log it and compute on the CPU."""
    candidates = [Provider.CUDA, Provider.CPU] if provider is Provider.AUTO else [provider]
    available = ort.get_available_providers()
    for candidate in candidates:
        if ORT_NAME[candidate] in available:
            session = _load(graph, ORT_NAME[candidate])
            if session.get_providers()[0] == ORT_NAME[candidate]:
                return session
    raise BundleInvalid(
        f"--provider {provider.value} does not work here: this onnxruntime has {', '.join(available)}"
        " (CUDA comes with rerank-service[gpu], and needs a GPU with its driver)"
    )


def _load(graph: Path, ort_name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a lane is one thread; more lanes beat more threads a lane
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it is kept for each shape seen, and ours change: memory would grow
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=[ort_name])
    except Exception as error:
        raise BundleInvalid(f"onnxruntime cannot load {graph}: {error}") from error
