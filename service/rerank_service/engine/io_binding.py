"""Sessions whose inputs are put on their device by us, not by onnxruntime.

Bound      new places for each batch, and any shape
Replayed   places that stay, a set for each of few shapes, so that what the GPU did for one can be replayed

The device is a parameter, so that all of this runs on a CPU too; what is recorded there is nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.graph_io import ports_of
from rerank_service.engine.out_of_memory import is_out_of_memory
from rerank_service.engine.runtime import Feed, ort

_ARENA = {"cuda": "gpu:0", "cpu": "cpu:0"}
"""What run options call the memory of a device."""

GRAPH_TOKENS = 4_096
"""Padded tokens up to which a shape is recorded: beyond, kernels run longer than their launch takes."""
MOST_GRAPHS = 96
"""Shapes that are recorded. With lengths in steps of 32 up to 512, all within GRAPH_TOKENS are fewer."""
_NOT_RECORDED = "-1"


class Bound:
    """A session that several threads may run at once."""

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._full = False
        self.ports = ports_of(session)

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """As Runner has it. After a run that found no memory, the next one gives back what the arena does not use: it
        keeps what it has got, in pieces of the sizes that were asked for."""
        if self._full:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", _ARENA[self._device])
        try:
            result = self._run(feed, options)
        except Exception as error:
            self._full = is_out_of_memory(error)
            raise
        self._full = False
        return result

    def _run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        binding = self._session.io_binding()
        for name in self.ports.inputs:
            value = ort.OrtValue.ortvalue_from_numpy(feed[name], self._device, 0)
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self.ports.output)  # on the CPU: a few numbers
        self._session.run_with_iobinding(binding, options)
        result: NDArray[Any] = binding.copy_outputs_to_cpu()[0]
        return result


@dataclass(frozen=True, slots=True)
class _Places:
    """Where batches of one shape lie, each time at the same address."""

    number: int
    binding: Any
    inputs: dict[str, Any]
    output: Any


class Replayed:
    """A session with CUDA graphs. Rows are filled up to a power of two; lengths are few already, by the limits.

    A recording belongs to the thread that made it (onnxruntime keeps them in a context for each thread), and two
    batches of one shape would share their places. So one thread of its own runs them all, in turn.
    """

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._any = Bound(session, device)
        self.ports = self._any.ports
        self._places: dict[tuple[int, int], _Places] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuda-graphs")

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """As Runner has it."""
        return self._thread.submit(self._run, feed, options).result()

    def recorded(self) -> list[tuple[int, int]]:
        """Shapes that have places of their own."""
        return list(self._places)

    def _run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        rows, length = feed[next(iter(self.ports.inputs))].shape
        places = self._of(*recorded_shape(rows, length))
        if places is None:
            options.add_run_config_entry("gpu_graph_id", _NOT_RECORDED)
            return self._any.run(feed, options)
        for name, value in places.inputs.items():
            value.update_inplace(filled_up(feed[name], value.shape()[0]))
        options.add_run_config_entry("gpu_graph_id", str(places.number))
        self._session.run_with_iobinding(places.binding, options)
        places.binding.synchronize_outputs()
        result: NDArray[Any] = places.output.numpy()[:rows]
        return result

    def _of(self, rows: int, length: int) -> _Places | None:
        shape = rows, length
        if shape not in self._places:
            if rows * length > GRAPH_TOKENS or len(self._places) == MOST_GRAPHS:
                return None
            self._places[shape] = self._made(rows, length)
        return self._places[shape]

    def _made(self, rows: int, length: int) -> _Places:
        output = next(one for one in self._session.get_outputs() if one.name == self.ports.output)
        binding = self._session.io_binding()
        inputs = {name: self._value((rows, length), kind) for name, kind in self.ports.inputs.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        logits = self._value((rows, *output.shape[1:]), np.float32)
        binding.bind_ortvalue_output(output.name, logits)
        return _Places(len(self._places) + 1, binding, inputs, logits)

    def _value(self, shape: tuple[int, ...], kind: type[np.generic]) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, self._device, 0)


def recorded_shape(rows: int, length: int) -> tuple[int, int]:
    """Rows and length of the recording that a batch is replayed by."""
    return 1 << (rows - 1).bit_length(), length


def filled_up(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A batch's array with its last row repeated: one of padding alone would be a row without tokens."""
    return np.pad(array, ((0, rows - len(array)), (0, 0)), mode="edge")
