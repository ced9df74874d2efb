"""A folder without a manifest, as the hub, optimum and sentence-transformers have them: what is served, or why not.

Rule: what its files do not say is not guessed; the reason names what to do.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_service.errors import BundleInvalid
from rerank_service.models.files import CONFIG, GRAPH, MANIFEST, TOKENIZER
from rerank_service.models.hub_config import MODULES, Config, check_lower_case, pad_id, read_config, window
from rerank_service.models.label_names import named, relevant_of
from rerank_service.quantities import counted

_ONNX = ".onnx"
_PLACES = (".", "onnx")
"""Where graphs lie: optimum writes them beside the config, the hub and sentence-transformers into a folder."""
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SLOW_TOKENIZERS = ("vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model")
_QUANTIZED = re.compile(r"(quantized|q?u?int8|_q8|_q4|bnb4)", re.IGNORECASE)
"""In the names that optimum, sentence-transformers and transformers.js give their graphs. (q4f16 is quantised, too.)"""
_HALVED = re.compile(r"(fp16|float16)", re.IGNORECASE)
_DECODERS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "phi3", "qwen2", "qwen3")
"""`model_type` of models that are asked in words."""
_OTHER_TASKS = ("ForMaskedLM", "ForQuestionAnswering", "ForTokenClassification", "ForConditionalGeneration")
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_EXPORT = "make a bundle with `rerank export` (make export MODEL=… OUT=…)"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A folder, and what a manifest would say of it."""

    folder: Path
    manifest: dict[str, Any]


def read_foreign(path: Path) -> Foreign:
    """Read a folder, or the one around a graph that is named.

    Raises:
        BundleInvalid: it cannot be served as it is, and why.
    """
    folder, graph = _around(path) if path.suffix == _ONNX and path.is_file() else (path, _graph(path))
    config = read_config(folder)
    _check_kind(folder, config)
    difference = _difference(folder, config)
    _check_tokenizer(folder)
    check_lower_case(folder)
    precision, weights = _precision(graph.name)
    name = folder.resolve().name
    return Foreign(
        folder,
        {
            "name": name,
            "source": config.name_or_path or name,
            "architecture": config.architecture,
            "max_tokens": window(folder),
            "pad_id": pad_id(folder, config),
            "difference": difference,
            "variants": [
                {"file": graph.relative_to(folder).as_posix(), "precision": precision, "weights": weights},
            ],
            "files": {},
        },
    )


def _around(graph: Path) -> tuple[Path, Path]:
    """The model folder of a graph."""
    here = graph.absolute().parent  # of a link, which is what the hub's cache has, and not of what it leads to
    folder = here if (here / CONFIG).exists() else here.parent
    if (folder / MANIFEST).exists():
        raise BundleInvalid(f"{graph} is part of a bundle: give its folder, {folder}")
    return folder, here / graph.name


def _graph(folder: Path) -> Path:
    """model.onnx where there is one, since all others are made of it; else the only graph."""
    if _HUB_ID.fullmatch(str(folder)) and not folder.parent.exists():
        raise BundleInvalid(
            f"{folder} is not a folder. If it is a model of the Hugging Face hub, export it first: "
            f"make export MODEL={folder} OUT=out/{folder.name}, then use --model out/{folder.name}"
        )
    if not folder.is_dir():
        raise BundleInvalid(
            f"{folder} is not a folder: give one that `rerank export` wrote, or one with "
            "model.onnx, tokenizer.json and config.json"
        )
    graphs = [path for place in _PLACES for path in sorted((folder / place).glob(f"*{_ONNX}")) if path.is_file()]
    if len(graphs) == 1:
        return graphs[0]
    found = next((path for path in graphs if path.name == GRAPH), None)
    if found is None:
        raise BundleInvalid(_several(folder, graphs) if graphs else _none(folder))
    return found


def _several(folder: Path, graphs: list[Path]) -> str:
    names = ", ".join(path.relative_to(folder).as_posix() for path in graphs)
    return f"{folder} has several graphs and none is called {GRAPH}: name the one to serve, as {graphs[0]} ({names})"


def _none(folder: Path) -> str:
    if any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        return f"{folder} has a model's weights and no ONNX graph: {_EXPORT.replace('…', str(folder), 1)}"
    return f"{folder} has neither {MANIFEST} nor {GRAPH} nor onnx/{GRAPH}: {_EXPORT}"


def _check_kind(folder: Path, config: Config) -> None:
    """Refuse what cannot give a score, or not by its files alone. The graph's own outputs are looked at when it is
    loaded."""
    modules = folder / MODULES
    if modules.is_file() and "Pooling" in modules.read_text(errors="replace"):
        raise BundleInvalid(f"{folder} is an embedding model ({MODULES} pools tokens): it gives no score for a pair")
    if config.architecture.endswith(_OTHER_TASKS):
        raise BundleInvalid(f"{folder} is a {config.architecture}, no cross-encoder: it gives no score for a pair")
    if config.kind in _DECODERS or config.architecture.endswith("ForCausalLM"):
        raise BundleInvalid(
            f"{folder} is a decoder ({config.architecture or config.kind}), which is asked in words that its files do "
            f"not state: {_EXPORT}"
        )


def _difference(folder: Path, config: Config) -> tuple[int, int] | None:
    """Of two labels whose logit is taken from whose: the sigmoid of that is what softmax gives."""
    labels = config.labels
    if len(labels) == 1:
        return None
    if len(labels) != 2 or set(labels) != {0, 1}:
        raise BundleInvalid(
            f"{folder / CONFIG} describes {counted(len(labels), 'label')} ({named(labels)}); "
            "a cross-encoder served here has one or two"
        )
    relevant = relevant_of(labels)
    if relevant is None:
        raise BundleInvalid(
            f"{folder / CONFIG} describes 2 labels ({named(labels)}), and it is not clear which means relevant: "
            "call them irrelevant and relevant in its id2label, or export the model with --relevant"
        )
    return relevant, 1 - relevant


def _check_tokenizer(folder: Path) -> None:
    if (folder / TOKENIZER).is_file():
        return
    slow = [name for name in _SLOW_TOKENIZERS if (folder / name).is_file()]
    if slow:
        raise BundleInvalid(
            f"{folder} has no {TOKENIZER}, and {', '.join(slow)} alone does not say how texts are split: export the "
            "model, or write the file with transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    raise BundleInvalid(f"{folder} has no {TOKENIZER}")


def _precision(name: str) -> tuple[str, str]:
    """What a graph computes in on a CPU, and what its weights are, by its name."""
    if _QUANTIZED.search(name):
        return "int8", "int8"
    return "fp32", "fp16" if _HALVED.search(name) else "fp32"
