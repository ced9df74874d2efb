"""The files that transformers reads a model's weights from, and the message if there are none."""

from collections.abc import Iterable
from pathlib import Path

from rerank_export.errors import ExportFailed
from rerank_service.installation import command_name

SAFE = ["model.safetensors", "model-*.safetensors"]
PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin"]
"""The format of older models; often present beside the same weights in safetensors."""
ADAPTER = "adapter_config.json"
_OTHER_FORMATS = {".gguf": "llama.cpp", ".h5": "TensorFlow", ".msgpack": "Flax"}


def check_weights(folder: Path, model: str) -> None:
    """Check that a folder has weights.

    Raises:
        ExportFailed: there are none; the message names the formats that are there instead.
    """
    if not has_weights(folder, (*SAFE, *PICKLED)):
        inside = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        raise ExportFailed(missing_weights(model, inside))


def has_weights(folder: Path, patterns: Iterable[str]) -> bool:
    """Return True if a folder has a file whose name matches one of the patterns."""
    return any(path for pattern in patterns for path in folder.glob(pattern))


def missing_weights(model: str, names: Iterable[str]) -> str:
    """Return the message for a model without weights, from the names of the files that it has."""
    files = [Path(name) for name in names]
    message = f"{model} has no weights that can be exported (model.safetensors or pytorch_model.bin)"
    if any(file.name == ADAPTER for file in files):
        return f"{message}: it is an adapter; merge it into its base model (merge_and_unload of peft) and export that"
    if any(file.suffix == ".onnx" for file in files):
        return f"{message}: it is already exported; pass its folder to `{command_name()} serve --model`"
    formats = sorted({_OTHER_FORMATS[file.suffix] for file in files if file.suffix in _OTHER_FORMATS})
    return f"{message}, only weights for {' and '.join(formats)}" if formats else message
