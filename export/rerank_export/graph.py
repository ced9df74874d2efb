"""The ONNX graph of a model, by optimum."""

from pathlib import Path

import onnx

from rerank_export.errors import ExportFailed, one_line
from rerank_export.source import Source

OPSET = 18
"""optimum-onnx's own default."""


def export_graph(source: Source, folder: Path) -> onnx.ModelProto:
    """Export a model's graph in fp32, its weights within.

    The task is always given: `auto` finds text-ranking, which optimum cannot export
    (https://github.com/huggingface/optimum/issues/2355). optimum's own validation is left out, since it only
    warns; ours is parity.py.

    Raises:
        ExportFailed: optimum cannot export it.
    """
    from optimum.exporters.onnx import main_export

    try:
        main_export(
            str(source.folder),
            output=folder,
            task="text-classification",
            library_name="transformers",  # else a folder with modules.json is taken for an embedding model
            opset=OPSET,
            dtype="fp32",
            do_validation=False,
        )
    except Exception as error:
        raise ExportFailed(f"optimum cannot export {source.id}: {one_line(error)}") from error
    return onnx.load(folder / "model.onnx")
