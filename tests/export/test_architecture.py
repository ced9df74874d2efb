"""Architectures: refusals from config.json, and the graphs of models that optimum does not know."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.reporter import Reporter
from rerank_export.scoring.architecture import read_architecture
from rerank_export.scoring.graph_window import graph_window
from rerank_export.source.model_source import ModelSource
from rerank_service.models.bundle import Bundle


@pytest.mark.parametrize(
    ("architecture", "kind", "reason"),
    [
        ("MixtralForSequenceClassification", "mixtral", "how it chooses experts for each token"),
        ("JambaForSequenceClassification", "jamba", "it reads a text in steps"),
        ("FNetForSequenceClassification", "fnet", "no operator for its Fourier transform"),
        ("LayoutLMv3ForSequenceClassification", "layoutlmv3", "it reads pages or tables"),
        ("ReformerForSequenceClassification", "reformer", "random buckets"),
        ("CanineForSequenceClassification", "canine", "it reads characters"),
    ],
)
def test_classifier_that_no_path_exports_is_refused(architecture: str, kind: str, reason: str) -> None:
    """config.json is enough to know."""
    with pytest.raises(ExportFailed, match=f"model is of type {kind}, which cannot be exported: .*{reason}"):
        read_architecture(ModelSource(Path(), "model"), {"architectures": [architecture], "model_type": kind})


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BartForConditionalGeneration", "bart"),
        ("Qwen2VLForConditionalGeneration", "qwen2_vl"),
        ("Gemma3ForConditionalGeneration", "gemma3"),
    ],
)
def test_other_generators_are_refused(architecture: str, kind: str) -> None:
    """The message names the class and the supported types."""
    expected = f"model is a {architecture} of type {kind}, which cannot be exported: supported types are mt5, t5, umt5"
    with pytest.raises(ExportFailed) as caught:
        read_architecture(ModelSource(Path(), "model"), {"architectures": [architecture], "model_type": kind})
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({}, None),
        ({"rope_scaling": None}, None),
        ({"rope_scaling": {"rope_type": "llama3", "original_max_position_embeddings": 8192}}, None),
        ({"attention_type": "original_full", "block_size": 64, "num_random_blocks": 3}, None),
        ({"attention_type": "block_sparse", "block_size": 64, "num_random_blocks": 3}, 704),
        ({"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 4096}, 4096),
        ({"rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 2048}}, 2048),
        ({"rope_scaling": {"rope_type": "longrope"}, "max_position_embeddings": 1024}, 1024),
    ],
)
def test_graph_is_valid_for_one_way_of_computing(config: dict[str, Any], tokens: int | None) -> None:
    """BigBird and Phi-3 compute longer texts in another way."""
    assert graph_window(config) == tokens


def test_window_ends_where_the_model_computes_in_another_way(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The model length would be 1,024 tokens. A status line gives the limit and the reason."""
    source = shutil.copytree(sources("big_bird"), tmp_path / "model")
    tokenizer = source / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text().replace('"model_max_length": 512', '"model_max_length": 1024'))
    lines: list[str] = []
    bundle = export(ExportRequest(str(source), tmp_path / "out"), Reporter(status=lines.append)).bundle
    assert bundle.manifest.max_tokens == 640
    assert any(line.startswith("pairs have at most 640 tokens: the model computes longer ones") for line in lines)


def test_graph_has_the_token_types_of_the_model(bundles: Callable[[str], Bundle]) -> None:
    """optimum would leave them out for the type camembert."""
    import onnx

    graph = onnx.load(bundles("camembert-types").graph, load_external_data=False).graph
    assert {graph_input.name for graph_input in graph.input} == {"input_ids", "attention_mask", "token_type_ids"}


def test_model_whose_score_depends_on_padding_is_refused(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The convolutions of ConvBERT read padding. The message blames the model, not the graph."""
    import torch
    from transformers import ConvBertConfig, ConvBertForSequenceClassification

    source = shutil.copytree(sources("electra"), tmp_path / "model")
    torch.manual_seed(20)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = ConvBertForSequenceClassification(ConvBertConfig(vocab_size=300, embedding_size=16, num_labels=1, **size))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    model.eval().save_pretrained(source)
    with pytest.raises(ExportFailed, match="model: the model's own score depends on padding: logits of transformers"):
        export(ExportRequest(str(source), tmp_path / "out"))


def test_graph_that_does_not_run_is_one_line(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """tokenizer.json has more tokens than the model has embeddings."""
    source = shutil.copytree(sources("bert"), tmp_path / "model")
    path = source / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: at + (1000 if len(word) == 1 else 0) for word, at in vocabulary.items()}
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ExportFailed, match="model was exported, but its graph cannot score pairs: "):
        export(ExportRequest(str(source), tmp_path / "out"))


def test_graph_has_no_input_that_the_model_does_not_get(source: Path, tmp_path: Path) -> None:
    """optimum's graph of a BERT has token types in any case. transformers gives none to this one."""
    path = source / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"model_input_names": ["input_ids", "attention_mask"]}
    path.write_text(json.dumps(config))
    bundle = export(ExportRequest(str(source), tmp_path / "out")).bundle
    graph = onnx.load(bundle.graph, load_external_data=False).graph
    assert {graph_input.name for graph_input in graph.input} == {"input_ids", "attention_mask"}
