"""Sessions that place inputs in device memory themselves, with onnxruntime's IOBinding.

- BoundSession: new buffers for each batch, any shape.
- CudaGraphSession: fixed buffers for each of a few shapes. CUDA records a graph for each shape and replays it.

The device is a parameter, so both classes also run on a CPU. Nothing is recorded there.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from rerank_service.engine.graph_io import read_graph_io
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Feed, ort
from rerank_service.error_text import one_line

_ARENA = {"cuda": "gpu:0", "cpu": "cpu:0"}
"""Names of the devices' memory arenas in run options."""

MAX_GRAPH_TOKENS = 4_096
"""Maximum padded tokens of a recorded shape. For larger batches the kernels take longer than their launch."""
MAX_GRAPHS = 96
"""Maximum number of recorded shapes. Lengths in steps of 32 up to 512 tokens give fewer within MAX_GRAPH_TOKENS."""
_NOT_RECORDED = "-1"

_log = structlog.get_logger()


class BoundSession:
    """A session that several threads may run at the same time."""

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._ran_out_of_memory = False
        self.graph_io = read_graph_io(session)

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the logits of a batch. See `Runner.run`.

        The first run that begins after one was out of memory shrinks the arena at its end. Otherwise the arena keeps
        its memory in pieces of the sizes that were requested before, which other sizes cannot use.
        """
        shrinks, ran_out = self._ran_out_of_memory, False
        if shrinks:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", _ARENA[self._device])
        try:
            return self._run(feed, options)
        except Exception as error:
            ran_out = is_out_of_memory(error)
            raise
        finally:
            if shrinks or ran_out:  # another run, which began before the failure, must not cancel the shrinking
                self._ran_out_of_memory = ran_out

    def _run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        binding = self._session.io_binding()
        for name in self.graph_io.inputs:
            value = ort.OrtValue.ortvalue_from_numpy(feed[name], self._device, 0)
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self.graph_io.output)  # in CPU memory: a few numbers
        self._session.run_with_iobinding(binding, options)
        result: NDArray[Any] = binding.copy_outputs_to_cpu()[0]
        return result


@dataclass(frozen=True, slots=True)
class _GraphBuffers:
    """The buffers of one recorded shape. A replay reads and writes the addresses of the recording."""

    graph_id: int
    binding: Any
    inputs: dict[str, Any]
    output: Any


class CudaGraphSession:
    """A session with CUDA graphs. Rows are padded to a power of two; the batch limits leave only a few lengths.

    One thread of its own runs all batches, one after the other, for two reasons: onnxruntime keeps recordings in a
    context of the thread that made them, and two batches of one shape would share their buffers.

    CUDA cannot record every operator. After the first recording that fails, the session makes no more of them, and runs
    other shapes without.
    """

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._unrecorded = BoundSession(session, device)
        self.graph_io = self._unrecorded.graph_io
        self._buffers: dict[tuple[int, int], _GraphBuffers] = {}
        self._row: NDArray[Any] | None = None
        """One row of the output, for its shape and type. A graph may leave both open."""
        self._graph_ids = itertools.count(1)
        self._can_record = True
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuda-graphs")

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the logits of a batch. See `Runner.run`."""
        return self._thread.submit(self._run, feed, options).result()

    def recorded_shapes(self) -> list[tuple[int, int]]:
        """Return the recorded shapes as (rows, tokens)."""
        return list(self._buffers)

    def _run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        rows, length = feed[next(iter(self.graph_io.inputs))].shape
        shape = recorded_shape(rows, length)
        if shape in self._buffers:
            return self._replay(self._buffers[shape], feed, options)[:rows]
        if self._can_record and rows * length <= MAX_GRAPH_TOKENS and len(self._buffers) < MAX_GRAPHS:
            buffers = self._new_buffers(*shape, self._row_of_output(feed))
            try:
                result = self._replay(buffers, feed, options)[:rows]
            except Exception as error:
                if options.terminate or is_out_of_memory(error):
                    raise
                self._can_record = False
                _log.warning("batches run without CUDA graphs", shape=shape, error=one_line(error)[-200:])
            else:
                self._buffers[shape] = buffers
                return result
        return self._run_unrecorded(feed, options)

    def _run_unrecorded(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        options.add_run_config_entry("gpu_graph_id", _NOT_RECORDED)
        return self._unrecorded.run(feed, options)

    def _row_of_output(self, feed: Feed) -> NDArray[Any]:
        """Return one row of the output. The first batch runs once more for it."""
        if self._row is None:
            self._row = self._run_unrecorded(feed, ort.RunOptions())[0]
        return self._row

    def _replay(self, buffers: _GraphBuffers, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the output of a shape. The first run of a shape records it."""
        for name, value in buffers.inputs.items():
            value.update_inplace(repeat_last_row(feed[name], value.shape()[0]))
        options.add_run_config_entry("gpu_graph_id", str(buffers.graph_id))
        self._session.run_with_iobinding(buffers.binding, options)
        buffers.binding.synchronize_outputs()
        result: NDArray[Any] = buffers.output.numpy()
        return result

    def _new_buffers(self, rows: int, length: int, row: NDArray[Any]) -> _GraphBuffers:
        binding = self._session.io_binding()
        inputs = {name: self._value((rows, length), dtype) for name, dtype in self.graph_io.inputs.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        logits = self._value((rows, *row.shape), row.dtype.type)
        binding.bind_ortvalue_output(self.graph_io.output, logits)
        return _GraphBuffers(next(self._graph_ids), binding, inputs, logits)

    def _value(self, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self._device, 0)


def recorded_shape(rows: int, length: int) -> tuple[int, int]:
    """Return rows and tokens of the recording that a batch of this shape replays."""
    return 1 << (rows - 1).bit_length(), length


def repeat_last_row(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return an array of shape (rows, tokens) whose new rows repeat the last one.

    A row of padding would have no token to attend to.
    """
    return np.pad(array, ((0, rows - len(array)), (0, 0)), mode="edge")
