"""Graphs of decoders: the score is that of the last real token, compared with torch."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_export.graph.passes.last_token import shorten_last_layer
from rerank_export.graph.torch_decoder import export_decoder
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.ranking.scores import Activation
from support.architectures import DECODERS
from support.decoders import write_decoder

Graph = Callable[[str], tuple[Any, onnx.ModelProto]]


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Give a one-label decoder in torch, and its graph before any pass."""

    @cache
    def make(name: str) -> tuple[Any, onnx.ModelProto]:
        import transformers

        decoder = DECODERS[name]
        folder = write_decoder(
            tmp_path_factory.mktemp("source") / name, decoder.family, head="SequenceClassification", **decoder.size
        )
        scoring = Scoring(decoder=True, generative=False, rows=(0,), activation=Activation.SIGMOID)
        with silence_libraries():
            graph = export_decoder(
                ModelSource(folder, name), scoring, tmp_path_factory.mktemp("graph") / "model.onnx", 18
            )
        return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval(), graph

    return make


def _run(graph: onnx.ModelProto, ids: Any, mask: Any) -> Any:
    import onnxruntime as ort

    session = ort.InferenceSession(graph.SerializeToString())
    assert [node.name for node in session.get_inputs()] == ["input_ids", "attention_mask"]
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def _rows(lengths: Sequence[int], *, left: bool) -> tuple[Any, Any]:
    ids = np.random.default_rng(sum(lengths)).integers(6, 300, (len(lengths), max(lengths)))
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, -length:] = left
        mask[row, :length] |= not left
    return ids * mask, mask


@pytest.mark.parametrize("name", DECODERS)
def test_last_real_token_is_scored_with_padding_on_either_side(name: str, graph_of: Graph) -> None:
    """A row's logit equals that of torch for the row alone. The pass computes five products for one token."""
    import torch

    model, graph = graph_of(name)
    shortened = shorten_last_layer(graph)
    onnx.checker.check_model(shortened.model)
    assert shortened.matmuls == 5  # query, output, gate, up, down
    for lengths in ((1,), (9,), (40, 1, 17, 33)):
        for left in (False, True):
            ids, mask = _rows(lengths, left=left)
            with torch.inference_mode():
                expected = [
                    model(torch.tensor(row[seen == 1][None])).logits.item() for row, seen in zip(ids, mask, strict=True)
                ]
            for tried in (graph, shortened.model):
                np.testing.assert_allclose(_run(tried, ids, mask).ravel(), expected, rtol=0, atol=3e-6)


def test_pad_token_inside_a_text_is_not_padding(graph_of: Graph) -> None:
    """The mask defines the padding. As in transformers, the last token that is not the pad token is scored."""
    import torch

    model, graph = graph_of("qwen3")
    ids = np.array([[7, 0, 9, 0, 0, 0], [7, 8, 0, 9, 10, 11]])
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    with torch.inference_mode():
        expected = [model(torch.tensor(ids[:1, :4])).logits.item(), model(torch.tensor(ids[1:])).logits.item()]
    np.testing.assert_allclose(_run(graph, ids, mask).ravel(), expected, rtol=0, atol=3e-6)


def test_graph_with_other_pooling_is_unchanged(graph_of: Graph) -> None:
    """The pass changes only graphs of the expected form."""
    _, graph = graph_of("llama")
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    next(node for node in other.graph.node if node.op_type == "GatherElements").op_type = "Gather"
    shortened = shorten_last_layer(other)
    assert (shortened.matmuls, shortened.model) == (0, other)
    assert "one token of each row" in shortened.reason
