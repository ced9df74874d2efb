"""Two versions of the small model, and the answers of each one alone."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

from rerank_service.models.bundle import write_manifest
from rerank_service.models.files import GRAPH
from support.small import write_small_model

_FIRST_CHANGED = 60
"""Token id from which the second version has other values. Small words keep theirs, so that the request by which the
campaign checks the server has the same answer by both versions."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The folders of two versions."""

    first: Path
    second: Path


def write_versions(folder: Path) -> Versions:
    """Write both versions into a folder."""
    versions = Versions(folder / "v1", folder / "v2")
    write_small_model(versions.first)
    bundle = write_small_model(versions.second)
    path = versions.second / GRAPH
    model = onnx.load(path)
    (values,) = (tensor for tensor in model.graph.initializer if tensor.name == "worth")
    changed = numpy_helper.to_array(values).copy()
    changed[_FIRST_CHANGED:] *= -0.25
    values.CopyFrom(numpy_helper.from_array(changed, "worth"))
    onnx.save(model, path)
    write_manifest(versions.second, bundle.manifest)
    return versions
