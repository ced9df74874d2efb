"""Sessions with IOBinding, run on the CPU: the device is a parameter."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.io_binding import (
    MAX_GRAPH_TOKENS,
    MAX_GRAPHS,
    BoundSession,
    CudaGraphSession,
    recorded_shape,
    repeat_last_row,
)
from rerank_service.engine.runtime import Feed, open_session, ort, session_options
from rerank_service.models.bundle import Bundle


def _session(bundle: Bundle) -> Any:
    return open_session(bundle.graph, session_options(), providers=["CPUExecutionProvider"])


def _feed(rows: int, length: int) -> Feed:
    ids = np.random.default_rng(rows * 1000 + length).integers(1000, 20000, (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


@pytest.mark.parametrize("runner", [BoundSession, CudaGraphSession])
def test_bound_sessions_return_the_logits_of_a_plain_session(
    starter: Bundle, runner: type[BoundSession] | type[CudaGraphSession]
) -> None:
    """Several shapes, one of them twice, with numbers of rows that are not a power of two."""
    session = _session(starter)
    bound = runner(session, "cpu")
    assert list(bound.graph_io.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    for rows, length in ((3, 8), (5, 16), (4, 8), (1, 40)):
        feed = _feed(rows, length)
        logits = bound.run(feed, ort.RunOptions())
        assert logits.shape == (rows, 1)
        np.testing.assert_allclose(logits, session.run(None, feed)[0], rtol=0, atol=1e-5)


def test_number_of_recorded_shapes_is_bounded(small_model: Bundle) -> None:
    """Each shape is recorded once. Larger shapes, and shapes beyond MAX_GRAPHS, run without a recording."""
    session = CudaGraphSession(_session(small_model), "cpu")
    feed = {name: np.ones((5, 8), np.int64) for name in session.graph_io.inputs}
    for rows in (5, 7, 8, 3):
        session.run({name: repeat_last_row(array[:1], rows) for name, array in feed.items()}, ort.RunOptions())
    assert session.recorded_shapes() == [(8, 8), (4, 8)]
    large = {name: np.ones((MAX_GRAPH_TOKENS // 8 + 1, 8), np.int64) for name in session.graph_io.inputs}
    assert len(session.run(large, ort.RunOptions())) == MAX_GRAPH_TOKENS // 8 + 1
    assert len(session.recorded_shapes()) == 2
    for length in range(1, 2 * MAX_GRAPHS):
        session.run({name: np.ones((1, length), np.int64) for name in session.graph_io.inputs}, ort.RunOptions())
    assert len(session.recorded_shapes()) == MAX_GRAPHS


def test_new_rows_repeat_the_last_row() -> None:
    """A row of padding would have no token to attend to."""
    assert repeat_last_row(np.array([[1, 2], [3, 4], [5, 0]]), 4).tolist() == [[1, 2], [3, 4], [5, 0], [5, 0]]
    assert [recorded_shape(rows, 9)[0] for rows in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]


def _graph_of_columns(columns: int | str = 1, dtype: int = TensorProto.FLOAT) -> bytes:
    """Return a graph that declares `columns` logits per row, and returns one per token."""
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"], start=1),
        helper.make_node("Slice", ["input_ids", "zero", "shape", "one"], ["columns"]),
        helper.make_node("Cast", ["columns"], ["logits"], to=dtype),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", dtype, ["rows", columns])],
        [numpy_helper.from_array(np.array([number], np.int64), name) for name, number in (("zero", 0), ("one", 1))],
    )
    serialized: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()
    return serialized


def _ids_and_mask(ids: NDArray[np.int64]) -> Feed:
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
@pytest.mark.parametrize("columns", [2, "labels"])
def test_output_of_any_type_is_recorded(columns: int | str, dtype: int) -> None:
    """Also if the graph names the axis of the labels, and does not declare its size."""
    session = CudaGraphSession(
        open_session(_graph_of_columns(columns, dtype), session_options(), providers=["CPUExecutionProvider"]), "cpu"
    )
    for rows in (3, 2, 4):
        ids = np.arange(2 * rows).reshape(rows, 2)
        logits = session.run(_ids_and_mask(ids), ort.RunOptions())
        assert logits.dtype == helper.tensor_dtype_to_np_dtype(dtype)
        np.testing.assert_array_equal(logits, ids)
    assert session.recorded_shapes() == [(4, 2), (2, 2)]


def test_graph_that_cannot_be_recorded_runs_without_recordings() -> None:
    """Shapes that were recorded before are still replayed. Here the buffer of the recording is too small."""
    options = session_options()
    session = CudaGraphSession(open_session(_graph_of_columns(), options, providers=["CPUExecutionProvider"]), "cpu")
    for rows, length in ((2, 1), (3, 8), (3, 8), (2, 1), (5, 1)):
        ids = np.arange(rows * length).reshape(rows, length)
        np.testing.assert_array_equal(session.run(_ids_and_mask(ids), ort.RunOptions()), ids)
    assert session.recorded_shapes() == [(2, 1)]


def test_cancelled_recording_is_not_a_failed_one() -> None:
    """The next run of the shape records it."""
    session = CudaGraphSession(
        open_session(_graph_of_columns(), session_options(), providers=["CPUExecutionProvider"]),
        "cpu",
    )
    options = ort.RunOptions()
    options.terminate = True
    feed = _ids_and_mask(np.ones((2, 1), np.int64))
    with pytest.raises(Exception, match="terminate"):
        session.run(feed, options)
    assert session.recorded_shapes() == []
    session.run(feed, ort.RunOptions())
    assert session.recorded_shapes() == [(2, 1)]
