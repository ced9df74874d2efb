"""The architecture of a model, from its config.json, and the reason if such a model cannot be exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.source.model_source import ModelSource

_CLASSIFIER, _GENERATOR, _CONDITIONAL = "ForSequenceClassification", "ForCausalLM", "ForConditionalGeneration"
"""Suffixes of architecture names."""
_OLDER_GENERATOR = "LMHeadModel"
DECODERS = (
    *("arcee", "biogpt", "code_llama", "diffllama", "exaone4", "falcon", "gemma", "gemma2", "gemma3_text"),
    *("glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "helium", "hunyuan_v1_dense", "llama"),
    *(
        "ministral",
        "mistral",
        "modernbert-decoder",
        "nemotron",
        "opt",
        "persimmon",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "seed_oss",
        "smollm3",
    ),
    *("stablelm", "starcoder2"),
)
"""`model_type` of the decoders that graph/torch_decoder.py exports. The tests compare each of them with torch."""
ENCODER_DECODERS = ("mt5", "t5", "umt5")
"""`model_type` of the generators with an encoder that can be exported."""

_EXPERTS = "torch cannot trace how it chooses experts for each token"
_RECURRENT = "it reads a text in steps, and a traced graph has a fixed number of them"
_TRANSFORM = "ONNX has no operator for its Fourier transform that torch can export"
_NO_TEXT_PAIR = "it reads pages or tables with positions, not a pair of texts"
NO_GRAPH: Mapping[str, str] = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "gpt_oss", "hunyuan_v1_moe", "jetmoe", "mixtral"), _EXPERTS),
    "qwen2_moe": _EXPERTS,
    **dict.fromkeys(("jamba", "minimax", "qwen3_next", "zamba", "zamba2"), _RECURRENT),
    **dict.fromkeys(("fnet", "mega"), _TRANSFORM),
    **dict.fromkeys(("layoutlmv2", "layoutlmv3", "lilt", "tapas"), _NO_TEXT_PAIR),
    "canine": "it reads characters, and tokenizer.json has no such tokenizer",
    "doge": "torch cannot trace its attention, which chooses tokens by their values",
    "funnel": "it pools tokens by the length of a text, which a traced graph cannot do",
    "nystromformer": "it divides a text into a fixed number of segments, so a score would depend on the padding",
    "qdqbert": "it needs pytorch-quantization, which has no release for this version of torch",
    "t5gemma": "torch cannot trace the attention masks of its decoder",
    "xmod": "it sorts the texts of a batch by language, which a traced graph cannot do",
    "reformer": "it puts tokens into random buckets, so a score is not reproducible",
}
"""Reasons why no path exports a classifier of a `model_type`, found by trying each class of transformers 4.57. Types in
no list are tried, and the gate decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The parts of a model that decide how it is exported."""

    kind: str
    """`model_type` in config.json."""
    generative: bool
    """True: the logits of answer tokens make the score. False: the labels of a classifier."""
    decoder: bool
    """True: every token sees only tokens before it, and the last token is scored."""
    encoder_decoder: bool
    """True: a decoder reads the output of an encoder."""


def read_architecture(source: ModelSource, config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that config.json names.

    Raises:
        ExportFailed: the model is no reranker, or a graph cannot compute it.
    """
    name, kind = str(next(iter(config.get("architectures") or [""]))), str(config.get("model_type"))
    if name.endswith(_CLASSIFIER):
        _check_graph(source, kind)
    elif name.endswith((_GENERATOR, _OLDER_GENERATOR)):
        _check_kind(source, kind, f"a text generator of type {kind}", DECODERS)
    elif name.endswith(_CONDITIONAL):
        _check_kind(source, kind, f"a {name} of type {kind}", ENCODER_DECODERS)
    else:
        raise ExportFailed(
            f"{source.id} cannot score a pair: its architecture {name or '(missing in config.json)'} is "
            f"neither a cross-encoder (…{_CLASSIFIER}) nor a text generator (…{_GENERATOR}, …{_CONDITIONAL})"
        )
    return Architecture(
        kind=kind,
        generative=not name.endswith(_CLASSIFIER),
        decoder=kind in DECODERS,
        encoder_decoder=name.endswith(_CONDITIONAL),
    )


def _check_kind(source: ModelSource, kind: str, described: str, supported: tuple[str, ...]) -> None:
    if kind not in supported:
        raise ExportFailed(
            f"{source.id} is {described}, which cannot be exported: supported types are {', '.join(supported)}"
        )


def _check_graph(source: ModelSource, kind: str) -> None:
    if reason := NO_GRAPH.get(kind):
        raise ExportFailed(f"{source.id} is of type {kind}, which cannot be exported: {reason}")
