"""Read a hub folder: a model folder without a manifest, as the hub, optimum and sentence-transformers write it.

Rule: nothing is guessed. If the files do not state something, the folder is rejected with the next step to take.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_service.encoding.pair_format import pair_format
from rerank_service.errors import BundleInvalid
from rerank_service.models.decoders import is_decoder
from rerank_service.models.files import CONFIG, GRAPH, MANIFEST, TOKENIZER, check_not_lfs_pointer
from rerank_service.models.hub_config import (
    CROSS_ENCODER_CONFIG,
    MODULES,
    TRANSFORMER_CONFIG,
    HubConfig,
    HubFiles,
    check_lower_case,
    pad_id,
    token_limit,
)
from rerank_service.models.label_names import list_labels, relevant_label
from rerank_service.quantities import counted

_ONNX = ".onnx"
_GRAPH_FOLDERS = (".", "onnx")
"""Folders of graphs: optimum writes them next to config.json, the hub and sentence-transformers into onnx/."""
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SLOW_TOKENIZERS = ("vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model")
_OTHER_TASKS = ("ForMaskedLM", "ForQuestionAnswering", "ForTokenClassification", "ForConditionalGeneration")
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_CACHED = re.compile(r"models--([^/]+)/snapshots")
"""Folders above a snapshot in the hub's cache: models--ORGANIZATION--NAME/snapshots."""
_EXPORT = "make a bundle with `rerank export` (make export MODEL=… OUT=…)"


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A hub folder that can be served."""

    folder: Path
    """The folder that contains config.json."""
    graph: Path
    """The graph that is served."""
    manifest: dict[str, Any]
    """The fields that the manifest of a bundle would have. The graph was not read: its precision is a placeholder."""


def read_hub_folder(path: Path) -> HubFolder:
    """Read a hub folder. `path` is the folder, or a graph in it.

    Raises:
        BundleInvalid: the folder cannot be served without an export; the message says why.
    """
    folder, graph = _around(path) if path.suffix == _ONNX and path.is_file() else (path, _graph(path))
    files = HubFiles(folder)
    config = files.config
    _check_task(folder, config)
    difference = _difference(folder, config)
    _check_tokenizer(folder)
    check_lower_case(files)
    _check_pair_format(files)
    _check_prompt(files)
    place = folder.resolve()
    return HubFolder(
        folder,
        graph,
        {
            "name": place.name,
            "source": _source(place),
            "architecture": config.architecture,
            "max_tokens": token_limit(files),
            "pad_id": pad_id(files),
            "difference": difference,
            "variants": [{"file": graph.relative_to(folder).as_posix(), "precision": "fp32", "weights": "fp32"}],
            "files": {},
        },
    )


def _source(folder: Path) -> str:
    """Return the hub id of a snapshot in the hub's cache; else the name of the folder.

    Every caller sees it. So it is not `_name_or_path` of config.json, which may be a private path of the training.
    """
    cached = _CACHED.fullmatch("/".join(folder.parts[-3:-1]))
    return cached[1].replace("--", "/", 1) if cached else folder.name


def _around(graph: Path) -> tuple[Path, Path]:
    """Return the model folder of a graph, and the graph's path in it."""
    folder = folder_of_graph(graph)
    if (folder / MANIFEST).exists():
        raise BundleInvalid(f"{graph} is part of a bundle: set --model to its folder, {folder}")
    return folder, graph.absolute()


def folder_of_graph(graph: Path) -> Path:
    """Return the folder of the model that a graph belongs to: its own with a config.json, else the one above it."""
    parent = graph.absolute().parent  # not resolved: in the hub's cache, graphs are links into another folder
    return parent if (parent / CONFIG).exists() else parent.parent


def _graph(folder: Path) -> Path:
    """Return model.onnx, from which other graphs are made; without one, the only graph of the folder."""
    if _HUB_ID.fullmatch(str(folder)) and not folder.parent.exists():
        raise BundleInvalid(
            f"{folder} is not a folder. If it is a model of the Hugging Face hub, export it first: "
            f"make export MODEL={folder} OUT=out/{folder.name}, then use --model out/{folder.name}"
        )
    if not folder.is_dir():
        raise BundleInvalid(
            f"{folder} is not a folder: set --model to a folder that `rerank export` wrote, or to one with "
            "model.onnx, tokenizer.json and config.json"
        )
    graphs = [path for place in _GRAPH_FOLDERS for path in sorted((folder / place).glob(f"*{_ONNX}")) if path.is_file()]
    if len(graphs) == 1:
        return graphs[0]
    reference = next((path for path in graphs if path.name == GRAPH), None)
    if reference is None:
        raise BundleInvalid(_several_graphs(folder, graphs) if graphs else _no_graph(folder))
    return reference


def _several_graphs(folder: Path, graphs: list[Path]) -> str:
    names = ", ".join(path.relative_to(folder).as_posix() for path in graphs)
    return f"{folder} has several graphs and none is called {GRAPH} ({names}): choose one, as in --model {graphs[0]}"


def _no_graph(folder: Path) -> str:
    if any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        return f"{folder} has a model's weights and no ONNX graph: {_EXPORT.replace('…', str(folder), 1)}"
    return f"{folder} has neither {MANIFEST} nor {GRAPH} nor onnx/{GRAPH}: {_EXPORT}"


def _check_task(folder: Path, config: HubConfig) -> None:
    """Reject models that do not score pairs, or need a template for it. The graph is checked when it is loaded."""
    modules = folder / MODULES
    if modules.is_file() and "Pooling" in modules.read_text(errors="replace"):
        raise BundleInvalid(
            f"{folder} is an embedding model ({MODULES} pools tokens), which does not score pairs: use a cross-encoder"
        )
    if config.architecture.endswith(_OTHER_TASKS):
        raise BundleInvalid(f"{folder} is a {config.architecture}, which does not score pairs: use a cross-encoder")
    if is_decoder(config.model_type, config.architecture):
        raise BundleInvalid(
            f"{folder} is a decoder ({config.architecture or config.model_type}). It needs a template, which its files "
            f"do not state: {_EXPORT}"
        )


def _difference(folder: Path, config: HubConfig) -> tuple[int, int] | None:
    """Return the positions of the relevant and of the other one of two labels; None for one label.

    The sigmoid of the difference of two logits is the softmax of the first.
    """
    labels = config.labels
    if len(labels) == 1:
        return None
    if len(labels) != 2 or set(labels) != {0, 1}:
        raise BundleInvalid(
            f"{folder / CONFIG} has {counted(len(labels), 'label')} ({list_labels(labels)}); "
            "a cross-encoder has label 0, or labels 0 and 1"
        )
    relevant = relevant_label(labels)
    if relevant is None:
        raise BundleInvalid(
            f"{folder / CONFIG} has 2 labels ({list_labels(labels)}), and their names do not show which one means "
            "relevant: name them irrelevant and relevant in id2label, or export the model with --relevant"
        )
    return relevant, 1 - relevant


def _check_tokenizer(folder: Path) -> None:
    if (folder / TOKENIZER).is_file():
        check_not_lfs_pointer(folder / TOKENIZER)
        return
    slow = [name for name in _SLOW_TOKENIZERS if (folder / name).is_file()]
    if slow:
        raise BundleInvalid(
            f"{folder} has no {TOKENIZER}, and {', '.join(slow)} does not fully define the tokenizer: export the "
            "model, or write the file with transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    raise BundleInvalid(f"{folder} has no {TOKENIZER}")


def _check_pair_format(files: HubFiles) -> None:
    """Reject a tokenizer that does not separate query and document: the model needs a template."""
    found = pair_format(files.tokenizer) if files.tokenizer else None
    if found is not None and not found.separates:
        raise BundleInvalid(
            f"{files.folder / TOKENIZER} puts {found} between the query and the document of a pair. So the model needs "
            f"a template, which its files do not state: {_EXPORT}"
        )


def _check_prompt(files: HubFiles) -> None:
    """Reject a model of sentence-transformers that adds a text to each pair: a graph does not contain it."""
    if not (files.folder / MODULES).is_file():
        return
    if files.cross_encoder_config.default_prompt_name:
        raise BundleInvalid(
            f"{files.folder / CROSS_ENCODER_CONFIG} has a default prompt, which needs a template: {_EXPORT}"
        )
    if "message" in (files.transformer_config.modality_config or {}):
        raise BundleInvalid(
            f"{files.folder / TRANSFORMER_CONFIG} writes pairs with a chat template, which needs a template: {_EXPORT}"
        )
