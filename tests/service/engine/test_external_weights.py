"""Weights outside the folder of a graph are not read: a model author could name any file of the host."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from support.small import write_small_model


@pytest.mark.parametrize("location", ["../secret.bin", "{folder}/secret.bin", "a/../../secret.bin", "link.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    """Neither by a relative path, nor by an absolute one, nor by a link."""
    bundle = write_small_model(tmp_path / "small")
    (bundle.folder / "link.bin").symlink_to("../secret.bin")
    (bundle.folder / "a").mkdir()
    graph = onnx.load(bundle.graph)
    worth = next(tensor for tensor in graph.graph.initializer if tensor.name == "worth")
    values = np.array(worth.float_data, np.float32)
    (tmp_path / "secret.bin").write_bytes(values.tobytes())
    del worth.float_data[:]
    worth.raw_data = values.tobytes()
    set_external_data(worth, location.format(folder=tmp_path), offset=0, length=values.nbytes)
    worth.ClearField("raw_data")
    worth.data_location = onnx.TensorProto.EXTERNAL
    bundle.graph.write_bytes(graph.SerializeToString())
    with pytest.raises(BundleInvalid, match="External data path"):
        CrossEncoder(bundle.graph)
