"""Nodes that find the different tokens of a batch, and the place of each token among them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rerank_service.models.variants.shared_prefix import SIZES

_PADDING = -1
"""Stands for the id of a masked token, whatever id it has."""


def token_index(ids: str, mask: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes that compute KEPT, PLACES and SIZES from ids and mask, of shape (rows, tokens), and their constants.

    A token is kept if it is real and no earlier row has the same tokens and mask up to it.
    """
    index = _Nodes()
    index.sizes(ids)
    index.first_rows(ids, mask)
    index.numbered()
    return index.nodes, index.constants


class _Nodes:
    """Nodes and constants. Each method computes the tensors that the next one reads."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def sizes(self, ids: str) -> None:
        """Compute the number of rows and of tokens, and the numbers of both."""
        self._add("Shape", [ids], "sizes")
        zero, one = self._constant("zero", 0), self._constant("one", 1)
        for at, name in enumerate(("rows", "length")):
            size = self._add("Gather", [SIZES, self._constant(f"at_{name}", at)], name)
            self._add("Range", [zero, size, one], f"{name}.numbers")

    def first_rows(self, ids: str, mask: str) -> None:
        """Compute the first row that has the same tokens up to each token: `first`, of shape (rows, tokens)."""
        real = self._add("Cast", [mask], "real", to=TensorProto.BOOL)
        seen = self._add("Where", [real, ids, self._constant("padding", _PADDING)], "seen")
        outer, middle = self._constant("outer", [0]), self._constant("middle", [1])
        own = self._add("Unsqueeze", [seen, middle], "own")
        other = self._add("Unsqueeze", [seen, outer], "other")
        equal = self._add("Equal", [own, other], "equal")
        unequal = self._add("Cast", [self._add("Not", [equal], "unequal")], "differs", to=TensorProto.INT32)
        differences = self._add("CumSum", [unequal, self._constant("last", 2)], "differences")
        alike = self._add("Equal", [differences, self._constant("none", 0, np.int32)], "alike")
        ends = self._constant("ends", [0, 2])
        numbers = self._add("Unsqueeze", [_named("rows.numbers"), ends], "candidates")
        rows = self._add("Where", [alike, numbers, _named("rows")], "alike.rows")
        self._add("ReduceMin", [rows, middle], "first", keepdims=0)

    def numbered(self) -> None:
        """Compute KEPT and PLACES."""
        number = self._add("Unsqueeze", [_named("rows.numbers"), self._constant("column", [1])], "number")
        unseen = self._add("Equal", [_named("first"), number], "unseen")
        flat = self._constant("flat", [-1])
        kept = self._add("Reshape", [self._add("And", [unseen, _named("real")], "is_kept"), flat], "is_kept.flat")
        self._add("Reshape", [self._add("NonZero", [kept], "nonzero"), flat], "kept")
        counted = self._add(
            "CumSum", [self._add("Cast", [kept], "ones", to=TensorProto.INT64), _named("zero")], "count"
        )
        order = self._add("Sub", [counted, _named("one")], "order")
        begin = self._add("Mul", [_named("first"), _named("length")], "begin")
        source = self._add("Add", [begin, _named("length.numbers")], "source")
        self._add("Max", [self._add("Gather", [order, source], "place"), _named("zero")], "places")

    def _add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        output = _named(name)
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, values: int | Sequence[int], dtype: type[np.generic] = np.int64) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), _named(name)))
        return _named(name)


def _named(name: str) -> str:
    return f"shared_prefix.{name}"
