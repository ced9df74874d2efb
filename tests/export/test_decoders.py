"""Decoders: a one-label head or a generator's words, pooled at the last real token, as torch has it."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_export.decoder import export_decoder
from rerank_export.errors import ExportFailed
from rerank_export.exporter import export
from rerank_export.passes.last_token import shorten_last_layer
from rerank_export.quiet import quiet
from rerank_export.recipes import recipe_named
from rerank_export.scoring import Scoring, Wishes
from rerank_export.source import Source
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.request import TooLong
from rerank_service.ranking.scores import Activation
from support.architectures import DECODERS, GENERATORS
from support.decoders import write_decoder
from support.running import running

QUERY = "what is the capital"
DOCUMENTS = ["Washington is the capital", "", "fiebre 🚀 und Kopfweh", "ok", "united states " * 900, "<|im_end|> x"]
Graph = Callable[[str], tuple[Any, onnx.ModelProto]]


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A one-label decoder in torch, and its graph before any pass."""

    @cache
    def make(name: str) -> tuple[Any, onnx.ModelProto]:
        import transformers

        decoder = DECODERS[name]
        folder = write_decoder(
            tmp_path_factory.mktemp("source") / name, decoder.family, head="SequenceClassification", **decoder.size
        )
        scoring = Scoring(decoder=True, generative=False, rows=(0,), activation=Activation.SIGMOID)
        with quiet():
            graph = export_decoder(Source(folder, name), scoring, tmp_path_factory.mktemp("graph") / "model.onnx", 18)
        return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval(), graph

    return make


def _run(graph: onnx.ModelProto, ids: Any, mask: Any) -> Any:
    import onnxruntime as ort

    session = ort.InferenceSession(graph.SerializeToString())
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def _rows(lengths: Sequence[int], *, left: bool) -> tuple[Any, Any]:
    ids = np.random.default_rng(sum(lengths)).integers(6, 300, (len(lengths), max(lengths)))
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, -length:] = left
        mask[row, :length] |= not left
    return ids * mask, mask


@pytest.mark.parametrize("name", DECODERS)
def test_the_last_real_token_is_pooled_on_either_side_of_the_padding(name: str, graph_of: Graph) -> None:
    """A row gives what torch gives for it alone, before the pass and after it; five products run for one token."""
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
            for one in (graph, shortened.model):
                np.testing.assert_allclose(_run(one, ids, mask).ravel(), expected, rtol=0, atol=3e-6)


def test_a_pad_token_within_a_text_is_no_padding(graph_of: Graph) -> None:
    """The mask says what is padding; the last token that is not the padding's is pooled, as transformers does."""
    import torch

    model, graph = graph_of("qwen3")
    ids = np.array([[7, 0, 9, 0, 0, 0], [7, 8, 0, 9, 10, 11]])
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    with torch.inference_mode():
        expected = [model(torch.tensor(ids[:1, :4])).logits.item(), model(torch.tensor(ids[1:])).logits.item()]
    np.testing.assert_allclose(_run(graph, ids, mask).ravel(), expected, rtol=0, atol=3e-6)


def test_a_graph_that_pools_otherwise_is_left_alone(graph_of: Graph) -> None:
    """Nothing is done to a graph whose shape is not known."""
    _, graph = graph_of("llama")
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    next(node for node in other.graph.node if node.op_type == "GatherElements").op_type = "Gather"
    shortened = shorten_last_layer(other)
    assert (shortened.matmuls, shortened.model) == (0, other)
    assert "one token of each row" in shortened.reason


def _whole_string_logits(folder: Path, name: str) -> list[float]:
    """What the family's own code computes, written anew here: texts formatted, tokenized, scored one by one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        return found

    def last(tokens: list[int]) -> Any:
        with torch.inference_mode():
            return model(torch.tensor([tokens])).logits[0, -1]

    scores = []
    for document in DOCUMENTS:
        if name.startswith("Qwen3"):
            head = ids(
                "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
                'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
            )
            tail = ids("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
            task = "Given a web search query, retrieve relevant passages that answer the query"
            content = ids(f"<Instruct>: {task}\n<Query>: {QUERY}\n<Document>: {document}")
            logits = last([*head, *content[: 1024 - len(head) - len(tail)], *tail])
            scores.append((logits[ids("yes")[0]] - logits[ids("no")[0]]).item())
        elif name.startswith("mxbai"):
            head = ids(
                "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
                "<|im_start|>user\n"
            )
            task = (
                "You are a search relevance expert who evaluates how well documents match search queries. For each "
                "query-document pair, carefully analyze the semantic relationship between them, then provide your "
                "binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:"
            )
            head += ids(f"query: {QUERY}") + ids("\n")
            tail = ids("\n") + ids(task) + ids("<|im_end|>\n<|im_start|>assistant\n")
            logits = last([*head, *ids(f"document: {document}")[: 1024 - len(head) - len(tail)], *tail])
            scores.append((logits[ids("1")[0]] - logits[ids("0")[0]]).item())
        else:
            head = [tokenizer.bos_token_id, *ids(f"A: {QUERY}"), *ids("\n")]
            task = (
                "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
                "providing a prediction of either 'Yes' or 'No'."
            )
            tail = ids("\n") + ids(task)
            scores.append(
                last([*head, *ids(f"B: {document}")[: 1024 - len(head) - len(tail)], *tail])[ids("Yes")[0]].item()
            )
    return scores


async def _served(bundle: Bundle) -> list[float]:
    """Logits that the server gives, in padded batches, the long document cut as transformers does."""
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    return [logits[index] for index in range(len(DOCUMENTS))]


@pytest.mark.parametrize("name", GENERATORS)
async def test_a_generator_scores_as_its_own_code_does(name: str, tmp_path: Path) -> None:
    """Template, words and truncation are the family's; of the output matrix only the words' rows are left."""
    source = write_decoder(tmp_path / name, GENERATORS[name].family, head="CausalLM")
    done = export(str(source), tmp_path / "out")
    assert done.verified.edges.max_difference < 1e-5
    expected = _whole_string_logits(source, name)
    assert await _served(done.bundle) == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01
    words = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    graph = onnx.load(done.bundle.graph)
    large = [one.dims for one in graph.graph.initializer if len(words) - 20 <= max(one.dims, default=0)]
    assert len(large) == 1, "the embedding alone has a row for every word"
    passes = done.bundle.manifest.recipe["passes"]
    assert passes["last_token_last_layer"] == "5 matrix products for one token"
    assert passes["first_token_last_layer"].startswith("left as it was")


async def test_a_one_label_twin_is_asked_as_the_generator_is(tmp_path: Path) -> None:
    """By its name; the ids are those of the whole formatted string."""
    from transformers import AutoTokenizer

    source = write_decoder(tmp_path / "Qwen3-Reranker-0.6B-seq-cls", "Qwen3", head="SequenceClassification")
    said: list[str] = []
    bundle = export(str(source), tmp_path / "out", say=said.append).bundle
    assert "pairs are written by the recipe qwen3-reranker" in said
    recipe = recipe_named("qwen3-reranker")
    assert recipe
    assert bundle.manifest.template == recipe.template
    tokenizer = AutoTokenizer.from_pretrained(source)
    from rerank_service.encoding.tokenizer import PairTokenizer

    pairs = PairTokenizer(bundle.tokenizer, max_tokens=1024, template=bundle.manifest.template)
    for query in ("what is the capital", "is it? ", "ends in a line\n", "🚀"):
        encoded = pairs.encode_documents(
            pairs.encode_query(query), [" x", "Washington", "", "ends.\n", "(a) 1", "\n\nb"]
        )
        for document, pair in zip([" x", "Washington", "", "ends.\n", "(a) 1", "\n\nb"], encoded, strict=True):
            text = "".join(recipe.template.head(query)) + recipe.template.lead + document + recipe.template.after[0]
            whole = tokenizer(text, add_special_tokens=False).input_ids
            assert [*pair.head.ids, *pair.document, *pair.tail.ids] == whole, (query, document)


async def test_two_labels_of_a_decoder_are_one_logit(tmp_path: Path) -> None:
    """That of relevance less the other's; without a template as its tokenizer joins a pair, which is said."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = write_decoder(
        tmp_path / "two", "Llama", head="SequenceClassification", labels={0: "relevant", 1: "not_relevant"}
    )
    said: list[str] = []
    bundle = export(str(source), tmp_path / "out", say=said.append).bundle
    assert any("no template is known" in line for line in said)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    with torch.inference_mode():
        pairs = [tokenizer([QUERY], [text], truncation="only_second", max_length=1024) for text in DOCUMENTS]
        both = [model(torch.tensor(pair.input_ids)).logits[0] for pair in pairs]
    assert await _served(bundle) == pytest.approx([(one[0] - one[1]).item() for one in both], abs=1e-5)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (Wishes(), "nothing says how it is asked for a score: give --template"),
        (Wishes(template="{query} {document}"), "nothing says how it is asked for a score: give --template"),
        (Wishes(yes="yes", no="no"), "nothing says how it is asked for a score: give --template"),
        (Wishes(template="{query} {document}", yes="yes"), "--yes wants --no"),
        (Wishes(template="{query} {document}", yes="no", no="no"), "are one token of generator: every score would be"),
        (Wishes(template="{query} {document}", yes="yes no", no="no"), "'yes no' is not one token of generator"),
        (Wishes(template="nothing of that name"), "is neither a known one (pair, qwen3-reranker, "),
        (Wishes(template="{document} for {query}", yes="yes", no="no"), "{query} stands once"),
        (Wishes(instruction="find"), "no slot for an instruction"),
    ],
    ids=str,
)
def test_an_unknown_generator_is_asked_about(wishes: Wishes, reason: str, generator: Path, tmp_path: Path) -> None:
    """Nothing is guessed: the line says what to give."""
    with pytest.raises(ExportFailed) as caught:
        export(str(generator), tmp_path / "out", wishes=wishes)
    assert reason in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of no known family."""
    return write_decoder(tmp_path_factory.mktemp("source") / "generator", "Llama", head="CausalLM")


def test_options_say_what_a_recipe_would(generator: Path, tmp_path: Path) -> None:
    """Template from a file, words, an instruction, a window, and a pass that is left out."""
    text = tmp_path / "template.txt"
    text.write_text("<bos>Task: {instruction}\nQ: {query}\nD: {document}\nRelevant?")
    wishes = Wishes(
        template=str(text),
        instruction="find the answer",
        yes="yes",
        no="no",
        max_tokens=256,
        without_passes=frozenset({"last_token_last_layer"}),
    )
    manifest = export(str(generator), tmp_path / "out", wishes=wishes).bundle.manifest
    assert manifest.template
    assert manifest.template.model_dump() == {
        "before": ("<bos>Task: {instruction}\nQ: {query}\n",),
        "document": "D: {document}",
        "after": ("\nRelevant?",),
        "instruction": "find the answer",
    }
    assert manifest.max_tokens == 256
    assert manifest.recipe["passes"]["last_token_last_layer"] == "switched off"
    with pytest.raises(ExportFailed, match="there is no pass nothing; there are fold_sizes, "):
        export(str(generator), tmp_path / "other", wishes=Wishes(without_passes=frozenset({"nothing"})))
