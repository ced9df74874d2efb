"""The cross-encoder: a batch of token ids in, one logit per pair out, on any engine."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.available import open_runner
from rerank_service.engine.kinds import CPU_FP32, ORT_NAME, Engine
from rerank_service.engine.logits import LOGITS, OutputForm
from rerank_service.engine.mapped_files import WatchedFiles
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Graph, Runner, ort
from rerank_service.errors import BundleInvalid, OutOfMemory
from rerank_service.quantities import counted
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch

_WRONG_NUMBER = (
    "the graph returns logits of the shape {shape} for {pairs}, but its config.json describes {expected} per pair: "
    "list the labels in id2label of config.json, or export the model"
)


OpenRunner = Callable[[Graph, Engine, int], Runner]
"""Loads a graph on an engine for a number of lanes."""


class CrossEncoder:
    """A loaded graph that scores batches.

    `score` blocks, releases the GIL, and may be called from several threads at the same time.
    """

    def __init__(
        self,
        graph: Graph,
        engine: Engine = CPU_FP32,
        *,
        lanes: int = 1,
        output: OutputForm = LOGITS,
        open_with: OpenRunner = open_runner,
    ) -> None:
        """Load a graph on an engine.

        `lanes` is the number of threads that call `score` at the same time. `output` is the form of the graph's
        output.

        Raises:
            BundleInvalid: ONNX Runtime rejects the graph, the engine does not work on this machine, or the graph is not
                a cross-encoder.
        """
        self.engine = engine
        self.provider = ORT_NAME[engine.provider]
        self._files = WatchedFiles(graph)
        self._runner = open_with(graph, engine, lanes)
        self._files.keep_mapped()
        self._inputs = self._runner.graph_io.inputs
        self._output = output

    def score(self, batch: Batch, token: CancelToken | None = None) -> NDArray[np.float32]:
        """Return the logits of a batch, float32 of shape (rows,).

        Cancelling `token` stops the run between two nodes of the graph, and `score` raises an exception of onnxruntime,
        of no documented class. A provider that runs the whole graph as one node, such as OpenVINO, does not stop.

        Raises:
            OutOfMemory: there is no memory for this batch; a smaller one may run.
            BundleInvalid: the graph returns another number of logits than expected.
            WeightsChanged: a file of weights was changed in place, so that no batch can be scored any more.
        """
        feed = {name: getattr(batch, name).astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        options = ort.RunOptions()
        if token is not None:
            token.on_cancel(partial(setattr, options, "terminate", True))
        self._files.check()  # a batch that reads beyond the end of a file would end the process
        try:
            logits = self._runner.run(feed, options)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(
                    f"there is no memory for {counted(batch.rows, 'pair')} of {counted(batch.length, 'token')}"
                ) from error
            raise
        self._files.check()
        return self._logit_per_row(logits, batch.rows)

    def _logit_per_row(self, logits: NDArray[Any], rows: int) -> NDArray[np.float32]:
        """Convert the graph's output, of any shape and precision, to float32 of shape (rows,)."""
        expected = self._output.values_per_pair
        if logits.size != rows * expected:
            raise BundleInvalid(
                _WRONG_NUMBER.format(shape=logits.shape, pairs=counted(rows, "pair"), expected=expected)
            )
        return self._output.logits(logits.reshape(rows, expected))
