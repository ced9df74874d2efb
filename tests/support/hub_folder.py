"""Hub folders made from the small model, and changes to their graphs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from support.running import running
from support.small import write_small_model

DOCUMENTS = ["3 4", "50", "", "7 7 7 7"]
Edit = Callable[[onnx.ModelProto], None]
"""A change of a graph, in place."""


def write_hub_folder(path: Path) -> Path:
    """Write the small model without a manifest, as optimum does."""
    folder = write_small_model(path).folder
    (folder / MANIFEST).unlink()
    return folder


def write_json(path: Path, **content: object) -> None:
    """Write a JSON object."""
    path.write_text(json.dumps(content))


def edit_graph(folder: Path, edit: Edit) -> None:
    """Change the graph of a folder."""
    model = onnx.load(folder / "model.onnx")
    edit(model)
    onnx.save(model, folder / "model.onnx")


def append_node(
    model: onnx.ModelProto, kind: str, *inputs: str, output: onnx.ValueInfoProto, **attributes: Any
) -> None:
    """Append a node that reads the logits; its output becomes the output of the graph."""
    model.graph.node.append(helper.make_node(kind, ["logits", *inputs], [output.name], **attributes))
    del model.graph.output[:]
    model.graph.output.append(output)


def with_labels(labels: int) -> Edit:
    """Return logits of several labels: 0, then the logit of the model, then multiples of it."""

    def edit(model: onnx.ModelProto) -> None:
        factors = np.arange(labels, dtype=np.float32)[None]
        model.graph.initializer.append(numpy_helper.from_array(factors, "factors"))
        output = helper.make_tensor_value_info("each", TensorProto.FLOAT, ["rows", labels])
        append_node(model, "MatMul", "factors", output=output)

    return edit


def without_token_types(model: onnx.ModelProto) -> None:
    """Remove this input. The logit then counts the query, too."""
    model.graph.node[1].input[1] = "attention_mask"
    del model.graph.input[2]


async def served_logits(folder: Path) -> list[float]:
    """Serve a folder, and return the logits of DOCUMENTS in their order."""
    async with running(open_bundle(folder)) as core:
        ranking = await core.rank("1", *DOCUMENTS)
    logits = {document.index: document.logit for document in ranking}
    return [logits[index] for index in range(len(DOCUMENTS))]


def rejection(folder: Path) -> str:
    """Return the message with which a folder is rejected. It must be one line."""
    with pytest.raises(BundleInvalid) as caught:
        load_selected(ModelOptions(folder=folder, cache=folder.parent / "cache"))
    line = str(caught.value)
    assert "\n" not in line
    return line
