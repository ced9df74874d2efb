"""Graphs of decoders: the score is that of the last real token, compared with torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_export.graph.passes.last_token import shorten_last_layer
from rerank_export.graph.passes.shared_prefix import share_prefixes
from rerank_export.graph.torch_decoder import export_decoder
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.architecture import DECODERS as SUPPORTED
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.models.variants.shared_prefix import KEPT, compute_every_token
from rerank_service.ranking.scores import Activation
from support.architectures import DECODERS, OTHER_DECODERS
from support.decoders import SIZE, write_decoder

Graph = Callable[[str], tuple[Any, onnx.ModelProto]]


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Give a one-label decoder in torch, and its graph before any pass."""

    @cache
    def make(name: str) -> tuple[Any, onnx.ModelProto]:
        import transformers

        decoder = (DECODERS | OTHER_DECODERS)[name]
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


def _products(graph: onnx.ModelProto) -> int:
    """Count the products with weights between embedding and head."""
    weights = {weight.name for weight in graph.graph.initializer if len(weight.dims) == 2}
    return sum(node.op_type == "MatMul" and node.input[1] in weights for node in graph.graph.node) - 1


_PROMPTS = [[7, 8, 9, 10, 11], [7, 8, 9, 12], [7, 8, 9, 10, 13, 14], [7, 20, 9, 10, 11], [7, 8, 9, 12], [30, 8], [7]]
"""Rows that begin alike, a row twice, one that begins otherwise, and one that is the beginning of others."""


def _padded(prompts: Sequence[Sequence[int]], *, left: bool) -> tuple[Any, Any]:
    ids, mask = np.zeros((2, len(prompts), max(map(len, prompts))), np.int64)
    for row, prompt in enumerate(prompts):
        at = slice(-len(prompt), None) if left else slice(len(prompt))
        ids[row, at], mask[row, at] = prompt, 1
    return ids, mask


def _assert_prefixes_are_shared(graph: onnx.ModelProto, packed: onnx.ModelProto) -> None:
    """Rows that begin alike have the logits that each has alone, and every different beginning is computed once."""
    import onnxruntime as ort

    sessions = []
    for every in (False, True):
        shown = onnx.ModelProto()
        shown.CopyFrom(packed)
        shown.graph.output.append(onnx.helper.make_tensor_value_info(KEPT, onnx.TensorProto.INT64, ["kept"]))
        if every:  # as CUDA graphs need it
            compute_every_token(shown)
            onnx.checker.check_model(shown)
        sessions.append(ort.InferenceSession(shown.SerializeToString()))
    alone = np.concatenate([_run(graph, *_padded([prompt], left=False)) for prompt in _PROMPTS])
    for left in (False, True):
        ids, mask = _padded(_PROMPTS, left=left)
        (logits, kept), (same, every) = (
            session.run(None, {"input_ids": ids, "attention_mask": mask}) for session in sessions
        )
        np.testing.assert_allclose(logits, alone, rtol=0, atol=3e-6)
        np.testing.assert_allclose(same, alone, rtol=0, atol=3e-6)
        assert len(every) == mask.size
        beginnings = {
            (tuple(ids[row, : at + 1]), tuple(mask[row, : at + 1])) for row, at in zip(*mask.nonzero(), strict=True)
        }
        assert len(kept) == len(beginnings) < mask.sum()


def _assert_last_token_is_scored(model: Any, graphs: Sequence[onnx.ModelProto]) -> None:
    import torch

    for lengths in ((1,), (9,), (40, 1, 17, 33)):
        for left in (False, True):
            ids, mask = _rows(lengths, left=left)
            with torch.inference_mode():
                expected = [
                    model(torch.tensor(row[seen == 1][None])).logits.item() for row, seen in zip(ids, mask, strict=True)
                ]
            for graph in graphs:
                np.testing.assert_allclose(_run(graph, ids, mask).ravel(), expected, rtol=0, atol=3e-6)
            assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("name", DECODERS)
def test_last_real_token_is_scored_with_padding_on_either_side(name: str, graph_of: Graph) -> None:
    """A row's logit equals that of torch for the row alone. The pass computes five products for one token."""
    model, graph = graph_of(name)
    shortened = shorten_last_layer(graph)
    onnx.checker.check_model(shortened.model)
    assert shortened.matmuls == 5  # query, output, gate, up, down
    packed = share_prefixes(shortened.model)
    onnx.checker.check_model(packed.model)
    assert packed.matmuls == _products(graph) - 5
    _assert_last_token_is_scored(model, [graph, shortened.model, packed.model])
    _assert_prefixes_are_shared(shortened.model, packed.model)


@pytest.mark.parametrize("name", OTHER_DECODERS)
def test_last_real_token_is_scored_in_other_decoders(name: str, graph_of: Graph) -> None:
    """Their positions and masks are those of transformers, too. Shared prefixes change no logit of them."""
    model, graph = graph_of(name)
    packed = share_prefixes(graph).model
    _assert_last_token_is_scored(model, [graph, packed])
    for left in (False, True):
        rows = _padded(_PROMPTS, left=left)
        np.testing.assert_allclose(_run(packed, *rows), _run(graph, *rows), rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("Gemma3ForCausalLM", "Gemma3TextConfig", DECODERS["gemma3-window"].size),
        ("ModernBertDecoderForCausalLM", "ModernBertDecoderConfig", OTHER_DECODERS["modernbert-decoder"].size),
        ("GPT2LMHeadModel", "GPT2Config", {}),
        ("GPTJForCausalLM", "GPTJConfig", {"rotary_dim": 4}),
        ("PhiForCausalLM", "PhiConfig", {}),
    ],
)
def test_answer_tokens_of_other_generators(name: str, config: str, options: Mapping[str, Any], tmp_path: Path) -> None:
    """The score is the difference of two logits at the last real token. GPT-J and Phi add a bias to logits."""
    import torch
    import transformers

    size = SIZE | {"vocab_size": 300} | dict(options)
    torch.manual_seed(5)
    model = getattr(transformers, name)(getattr(transformers, config)(**size)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(tmp_path / "source")
    model = type(model).from_pretrained(tmp_path / "source").eval()
    scoring = Scoring(decoder=True, generative=True, rows=(7, 9))
    with silence_libraries():
        graph = export_decoder(ModelSource(tmp_path / "source", "model"), scoring, tmp_path / "model.onnx", 18)
    ids, mask = _rows((40, 1, 17, 33), left=False)
    with torch.inference_mode():
        last = [model(torch.tensor(row[seen == 1][None])).logits[0, -1] for row, seen in zip(ids, mask, strict=True)]
    expected = [(logits[7] - logits[9]).item() for logits in last]
    np.testing.assert_allclose(_run(graph, ids, mask).ravel(), expected, rtol=0, atol=1e-5)


def test_every_supported_decoder_is_tested() -> None:
    """code_llama has the classes of Llama."""
    tested = {decoder.kind for decoder in (DECODERS | OTHER_DECODERS).values()}
    assert tested | {"code_llama"} == set(SUPPORTED)


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
