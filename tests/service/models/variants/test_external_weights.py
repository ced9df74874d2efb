"""Weights beside a graph, also as links."""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from rerank_service.engine.process_memory import process_memory
from rerank_service.errors import BundleInvalid
from rerank_service.models.variants.external_weights import load_with_weights, write_with_weights
from support.plain_bert import PLAIN_BERT

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


def _write(folder: Path) -> Path:
    """Write a graph with weights of its own and weights in a branch, all beside it."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["picked"])],
        "branch",
        [],
        [helper.make_tensor_value_info("picked", onnx.TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(-WEIGHTS, "inner")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
            helper.make_node("Add", ["y", "outer"], ["z"]),
        ],
        "graph",
        [helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(WEIGHTS, "outer")],
    )
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save_model(
        helper.make_model(graph), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )
    return path


def _weights(model: onnx.ModelProto) -> list[np.ndarray]:
    inner = model.graph.node[0].attribute[0].g.initializer[0]
    return [numpy_helper.to_array(inner), numpy_helper.to_array(model.graph.initializer[0])]


@pytest.mark.parametrize("link", [os.link, os.symlink, shutil.copy], ids=["hard link", "symbolic link", "copy"])
def test_links_are_followed(tmp_path: Path, link: object) -> None:
    """uv installs wheels by hard links, and the cache of the hub consists of symbolic links."""
    original = _write(tmp_path / "original")
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in original.parent.iterdir():
        link(path, linked / path.name)  # type: ignore[operator]
    inner, outer = _weights(load_with_weights(linked / "model.onnx"))
    np.testing.assert_array_equal(inner, -WEIGHTS)
    np.testing.assert_array_equal(outer, WEIGHTS)


def test_written_graph_is_the_same(tmp_path: Path) -> None:
    """With weights in fp16 and fp32, large and small. The model stays as it is."""
    model = onnx.load(PLAIN_BERT)
    before = model.SerializeToString(deterministic=True)
    write_with_weights(model, tmp_path / "model.onnx")
    assert model.SerializeToString(deterministic=True) == before
    assert (tmp_path / "model.onnx.data").stat().st_size > 100_000
    read = onnx.load(tmp_path / "model.onnx")
    assert list(read.graph.node) == list(model.graph.node)
    for there, here in zip(read.graph.initializer, model.graph.initializer, strict=True):
        assert (there.name, there.data_type) == (here.name, here.data_type)
        np.testing.assert_array_equal(numpy_helper.to_array(there), numpy_helper.to_array(here))
    onnx.checker.check_model(tmp_path / "model.onnx")


def test_writing_a_graph_takes_no_second_copy_of_its_weights(tmp_path: Path) -> None:
    """protobuf frees no part of a message, so that each copy within one would stay until the end."""
    size = 8 * 2**20
    tensors = [
        onnx.TensorProto(name=str(n), data_type=onnx.TensorProto.INT8, dims=[size], raw_data=b"\1" * size)
        for n in range(12)
    ]
    model = onnx.ModelProto(ir_version=8, graph=onnx.GraphProto(name="large", initializer=tensors))
    del tensors
    before = process_memory()
    write_with_weights(model, tmp_path / "model.onnx")
    after = process_memory()
    assert before is not None
    assert after is not None
    assert after.held - before.held < 4 * size
    assert (tmp_path / "model.onnx.data").stat().st_size == 12 * size


def test_location_outside_the_folder_is_rejected(tmp_path: Path) -> None:
    """A graph of a stranger must not read the files of the machine."""
    path = _write(tmp_path / "original")
    model = onnx.load(path, load_external_data=False)
    for location in ("../secret", "/etc/passwd"):
        next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location").value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(BundleInvalid, match="outside the folder of the graph"):
            load_with_weights(path)


def test_short_file_is_named(tmp_path: Path) -> None:
    """A download that was cut."""
    path = _write(tmp_path / "original")
    data = path.parent / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(BundleInvalid, match="ends within the weights inner"):
        load_with_weights(path)
