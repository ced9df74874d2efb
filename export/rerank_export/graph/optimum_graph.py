"""ONNX export by optimum-onnx, for the architectures that it knows."""

from pathlib import Path

import onnx

from rerank_export.source.model_source import ModelSource

_TASK = "text-classification"
"""The task is always given: `auto` finds text-ranking, which optimum cannot export
(https://github.com/huggingface/optimum/issues/2355)."""
_LIBRARY = "transformers"
"""Without it, a folder with modules.json is taken for an embedding model."""


def export_by_optimum(source: ModelSource, folder: Path, opset: int) -> onnx.ModelProto:
    """Export a model with `main_export` of optimum-onnx. `folder` receives temporary files.

    Validation by optimum is off, since it only warns; the gate compares the logits.
    """
    from optimum.exporters.onnx import main_export

    main_export(
        str(source.folder),
        output=folder,
        task=_TASK,
        library_name=_LIBRARY,
        opset=opset,
        dtype="fp32",
        do_validation=False,
    )
    return onnx.load(folder / "model.onnx")
