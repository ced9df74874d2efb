"""The cross-encoder: arrays in, logits out, whatever computes them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.available import open_runner
from rerank_service.engine.kinds import CPU_FP32, ORT_NAME, Engine
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Graph, Runner, ort
from rerank_service.errors import BundleInvalid, OutOfMemory
from rerank_service.quantities import counted
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch

_WRONG_NUMBER = (
    "the graph gives logits of the shape {shape} for {pairs}, and its config.json tells of {expected} a pair: "
    "name its labels there as id2label, or export the model"
)

OpenRunner = Callable[[Graph, Engine, int], Runner]
"""Load a graph on an engine for a number of lanes."""


class CrossEncoder:
    """A graph that scores batches. `score` blocks, releases the GIL and may be called from several threads."""

    def __init__(
        self,
        graph: Graph,
        engine: Engine = CPU_FP32,
        *,
        lanes: int = 1,
        difference: tuple[int, int] | None = None,
        open_with: OpenRunner = open_runner,
    ) -> None:
        """Load a graph, for as many threads at once as there are lanes. `difference`: of a graph with two logits a
        pair, whose is the pair's, and whose is taken from it.

        Raises:
            BundleInvalid: ONNX Runtime refuses the graph, the engine does not work here, or the graph is no
                cross-encoder's.
        """
        self.engine = engine
        self.provider = ORT_NAME[engine.provider]
        self._runner = open_with(graph, engine, lanes)
        self._inputs = self._runner.ports.inputs
        self._difference = difference

    def score(self, batch: Batch, token: CancelToken | None = None) -> NDArray[np.float32]:
        """Logits, float32 of shape (rows,). Raises, what is not said, when it is stopped: between two nodes of the
        graph, so where a provider runs all of it as one node it is not.

        Raises:
            OutOfMemory: a smaller batch may run.
            BundleInvalid: the graph gives another number of logits.
        """
        feed = {name: getattr(batch, name).astype(kind, copy=False) for name, kind in self._inputs.items()}
        options = ort.RunOptions()
        if token is not None:
            token.on_cancel(partial(setattr, options, "terminate", True))
        try:
            logits = self._runner.run(feed, options)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f"there is no memory for {counted(batch.rows, 'row')} of {counted(batch.length, 'token')}"
                ) from error
            raise
        return self._one_each(logits, batch.rows)

    def _one_each(self, logits: NDArray[Any], rows: int) -> NDArray[np.float32]:
        """Whatever shape and precision the graph gives them in."""
        expected = 1 if self._difference is None else 2
        if logits.size != rows * expected:
            raise BundleInvalid(
                _WRONG_NUMBER.format(shape=logits.shape, pairs=counted(rows, "pair"), expected=expected)
            )
        wide = logits.reshape(rows, expected).astype(np.float32, copy=False)
        if self._difference is None:
            return wide[:, 0]
        relevant, other = self._difference
        return wide[:, relevant] - wide[:, other]
