"""The files that transformers reads a model's weights from, and what to say where there are none."""

from collections.abc import Iterable
from pathlib import Path

from rerank_export.errors import ExportFailed
from rerank_service.installation import command_name

SAFE = ["model.safetensors", "model-*.safetensors"]
PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin"]
"""Of older models; often there beside the same ones in safetensors."""
ADAPTER = "adapter_config.json"
_OTHER_FORMS = {".gguf": "llama.cpp", ".h5": "TensorFlow", ".msgpack": "Flax"}


def check_weights(folder: Path, model: str) -> None:
    """Raise ExportFailed where a folder has no weights."""
    if not any(path for pattern in (*SAFE, *PICKLED) for path in folder.glob(pattern)):
        inside = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        raise ExportFailed(missing_weights(model, inside))


def missing_weights(model: str, names: Iterable[str]) -> str:
    """What a model without weights is, by the names of its files."""
    files = [Path(name) for name in names]
    lacks = f"{model} has no weights that can be exported (model.safetensors or pytorch_model.bin)"
    if any(file.name == ADAPTER for file in files):
        return f"{lacks}: it is an adapter; merge it into its base model (peft's merge_and_unload), and export that"
    if any(file.suffix == ".onnx" for file in files):
        return f"{lacks}: it is exported already; `{command_name()} serve --model` takes its folder as it is"
    forms = sorted({_OTHER_FORMS[file.suffix] for file in files if file.suffix in _OTHER_FORMS})
    return f"{lacks}, but for {' and '.join(forms)}" if forms else lacks
