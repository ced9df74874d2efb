"""Tensors of a graph cut to one token, while the last layer is shortened."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx
from onnx import numpy_helper

from rerank_export.graph.passes.shaped_graph import Dim, ShapedGraph


class Token(Protocol):
    """The token that is kept of each row."""

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        """Return True if a tensor of that shape holds the token along the axis."""

    def cut(self, cut: "TokenCut", tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        """Return nodes that cut a whole tensor to the token. The axis stays, with size 1."""

    def picked(self, pick: onnx.NodeProto, cut_tensor: str) -> onnx.NodeProto:
        """Return the node that replaces `pick`: it makes the same output from the cut tensor."""


@dataclass(slots=True)
class TokenCut:
    """The state of one walk over a graph: cut tensors to make, and the nodes made so far."""

    graph: ShapedGraph
    token: Token
    made: list[tuple[int, onnx.NodeProto]] = field(default_factory=list, init=False)
    """New nodes, each with the index of the old node that it follows."""
    constants: list[onnx.TensorProto] = field(default_factory=list, init=False)
    axes: dict[str, int] = field(default_factory=dict, init=False)
    """The axis of each cut tensor."""
    whole: set[str] = field(default_factory=set, init=False)
    """Tensors that are needed for all tokens."""
    pending: list[tuple[int, str]] = field(default_factory=list, init=False)
    """Heap of the cut tensors still to make, the last node of the graph first."""
    matmuls: int = field(default=0, init=False)
    """Matrix products with weights that are now computed for one token."""

    def request(self, tensor: str, axis: int) -> str:
        """Return the name of a tensor cut along an axis, and queue its computation. Size 1 needs no cut."""
        shape = self.graph.shapes.get(tensor, ())
        if axis < 0 or (len(shape) > axis and shape[axis] == 1):
            return tensor
        if tensor not in self.axes:
            self.axes[tensor] = axis
            heapq.heappush(self.pending, (-self.graph.producers.get(tensor, -1), tensor))
        # a tensor cut along a second axis is rare; it gets another name
        return f"{tensor}.one" if self.axes[tensor] == axis else self.cut_whole(tensor, axis)

    def can_cut(self, tensor: str, axis: int) -> bool:
        """Return True if a tensor holds the token along the axis, or is the same for all tokens.

        A tensor of unknown shape may be either, so it is not cut.
        """
        shape = self.graph.shapes.get(tensor)
        if shape is None:
            return False
        return axis < 0 or len(shape) <= axis or shape[axis] == 1 or self.token.can_be_cut(shape, axis)

    def cut_whole(self, tensor: str, axis: int) -> str:
        """Cut a tensor after it was computed for all tokens, and return the name of the result."""
        self.whole |= self.graph.ancestors(tensor)
        name = f"{tensor}.one" if self.axes.get(tensor) == axis else f"{tensor}.one{axis}"
        index = self.graph.producers.get(tensor, -1)
        self.made += [(index, node) for node in self.token.cut(self, tensor, axis, name)]
        return name

    def constant(self, name: str, values: Sequence[int]) -> str:
        """Add an int64 vector to the graph, and return its name."""
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def needs_whole(self, tensor: str) -> str:
        """Mark an operand as needed for all tokens, and return its name."""
        self.whole |= self.graph.ancestors(tensor)
        return tensor

    def rank(self, tensor: str) -> int | None:
        """Return the number of axes; None if it is unknown."""
        shape = self.graph.shapes.get(tensor)
        return None if shape is None else len(shape)
