"""The cross-encoder: arrays in, logits out, whatever computes them."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_service.batching import Batch
from rerank_service.engine.available import open_runner
from rerank_service.engine.engine import CPU_FP32, ORT_NAME, Engine
from rerank_service.engine.memory import is_out_of_memory
from rerank_service.engine.runtime import Graph, ort
from rerank_service.errors import BundleInvalid, OutOfMemory
from rerank_service.stop import Stop

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class CrossEncoder:
    """A graph that scores batches. `score` blocks, releases the GIL and may be called from several threads."""

    def __init__(self, graph: Graph, engine: Engine = CPU_FP32, *, lanes: int = 1) -> None:
        """Load a graph, for as many threads at once as there are lanes.

        Raises:
            BundleInvalid: ONNX Runtime refuses the graph, the engine does not work here, or the graph is no
                cross-encoder with one logit a pair.
        """
        self.engine = engine
        self.provider = ORT_NAME[engine.provider]
        self._runner = open_runner(graph, engine, lanes)
        unknown = [name for name in self._runner.inputs if name not in _INPUTS]
        if unknown:
            what = graph if isinstance(graph, Path) else "the graph"
            raise BundleInvalid(f"{what} wants inputs that a cross-encoder has not: {', '.join(unknown)}")

    def score(self, batch: Batch, stop: Stop | None = None) -> NDArray[np.float32]:
        """Logits, float32 of shape (rows,). Raises, what is not said, when it is stopped: between two nodes of the
        graph, so where a provider runs all of it as one node it is not.

        Raises:
            OutOfMemory: a smaller batch may run.
        """
        feed = {name: getattr(batch, name) for name in self._runner.inputs}
        options = ort.RunOptions()
        if stop is not None:
            stop.by(partial(setattr, options, "terminate", True))
        try:
            logits = self._runner.run(feed, options)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(f"there is no memory for {batch.rows} rows of {batch.length} tokens") from error
            raise
        return logits.reshape(batch.rows).astype(np.float32, copy=False)
