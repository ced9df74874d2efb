"""Decoders as rerankers: templates, answer tokens and labels, served and compared with the family's own code."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.reporter import Reporter
from rerank_export.scoring.recipe_choice import recipe_named
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.request import TooLong
from support.architectures import GENERATORS
from support.decoders import write_decoder
from support.running import running

QUERY = "what is the capital"
DOCUMENTS = ["Washington is the capital", "", "fiebre 🚀 und Kopfweh", "ok", "united states " * 900, "<|im_end|> x"]
NO_PROMPT = "neither its files nor a recipe define its prompt and answer: set --template"


def _whole_string_logits(folder: Path, name: str) -> list[float]:
    """Compute the logits as the family's own code does: format, tokenize and score each text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        return found

    prompt, yes, no = _PROMPTS[name.partition("-")[0]]
    scores = []
    for document in DOCUMENTS:
        head, content, tail = prompt(ids, document)
        with torch.inference_mode():
            tokens = [*head, *content[: 1024 - len(head) - len(tail)], *tail]
            logits = model(torch.tensor([tokens])).logits[0, -1]
        scores.append((logits[ids(yes)[0]] - (logits[ids(no)[0]] if no else 0)).item())
    return scores


Ids = Callable[[str], list[int]]
Parts = tuple[list[int], list[int], list[int]]
"""Token ids of a prompt: its beginning, the part that is cut, its end."""


def _qwen3(ids: Ids, document: str) -> Parts:
    head = ids(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    tail = ids("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
    task = "Given a web search query, retrieve relevant passages that answer the query"
    return head, ids(f"<Instruct>: {task}\n<Query>: {QUERY}\n<Document>: {document}"), tail


def _mxbai(ids: Ids, document: str) -> Parts:
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
    return head, ids(f"document: {document}"), ids("\n") + ids(task) + ids("<|im_end|>\n<|im_start|>assistant\n")


def _gemma(ids: Ids, document: str) -> Parts:
    task = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
        "providing a prediction of either 'Yes' or 'No'."
    )
    return ids("<bos>") + ids(f"A: {QUERY}") + ids("\n"), ids(f"B: {document}"), ids("\n") + ids(task)


def _zerank(ids: Ids, document: str) -> Parts:
    head = ids(f"<|im_start|>system\n{QUERY}<|im_end|>\n")
    return head, ids(f"<|im_start|>user\n{document}"), ids("<|im_end|>\n<|im_start|>assistant\n")


_PROMPTS: dict[str, tuple[Callable[[Ids, str], Parts], str, str]] = {
    "Qwen3": (_qwen3, "yes", "no"),
    "mxbai": (_mxbai, "1", "0"),
    "bge": (_gemma, "Yes", ""),
    "zerank": (_zerank, "Yes", ""),
}


async def _served(bundle: Bundle) -> list[float]:
    """Return the server's logits, computed in padded batches, with the long document cut as in transformers."""
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    return [logits[index] for index in range(len(DOCUMENTS))]


@pytest.mark.parametrize("name", GENERATORS)
async def test_generator_scores_like_its_own_code(name: str, tmp_path: Path) -> None:
    """Template, answer tokens and truncation are those of the family. The output matrix keeps only their rows."""
    source = write_decoder(tmp_path / name, GENERATORS[name].family, head="CausalLM")
    done = export(ExportRequest(str(source), tmp_path / "out"))
    assert done.verified.edges.max_difference < 1e-5
    expected = _whole_string_logits(source, name)
    assert await _served(done.bundle) == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01
    words = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    graph = onnx.load(done.bundle.graph)
    large = [weight.dims for weight in graph.graph.initializer if len(words) - 20 <= max(weight.dims, default=0)]
    assert len(large) == 1, "only the embedding has a row for every word"
    passes = done.bundle.manifest.recipe["passes"]
    assert passes["last_token_last_layer"] == "5 matrix products for one token"
    assert passes["first_token_last_layer"].startswith("unchanged: ")


async def test_one_label_version_uses_the_template_of_the_generator(tmp_path: Path) -> None:
    """The name selects the recipe."""
    source = write_decoder(tmp_path / "Qwen3-Reranker-0.6B-seq-cls", "Qwen3", head="SequenceClassification")
    lines: list[str] = []
    bundle = export(ExportRequest(str(source), tmp_path / "out"), Reporter(status=lines.append)).bundle
    assert "the template comes from the recipe qwen3-reranker" in lines
    recipe = recipe_named("qwen3-reranker")
    assert recipe
    assert bundle.manifest.template == recipe.template


async def test_two_labels_of_a_decoder_make_one_logit(tmp_path: Path) -> None:
    """It is the relevant logit minus the other. A status line says that the user asked for no template."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = write_decoder(
        tmp_path / "two", "Llama", head="SequenceClassification", labels={0: "relevant", 1: "not_relevant"}
    )
    lines: list[str] = []
    request = ExportRequest(str(source), tmp_path / "out", scoring=ScoringOptions(template="none"))
    bundle = export(request, Reporter(status=lines.append)).bundle
    assert "pairs have the tokenizer's own format (--template none)" in lines
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    with torch.inference_mode():
        pairs = [tokenizer([QUERY], [text], truncation="only_second", max_length=1024) for text in DOCUMENTS]
        both = [model(torch.tensor(pair.input_ids)).logits[0] for pair in pairs]
    assert await _served(bundle) == pytest.approx([(logits[0] - logits[1]).item() for logits in both], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (ScoringOptions(), NO_PROMPT),
        (ScoringOptions(template="{query} {document}"), NO_PROMPT),
        (ScoringOptions(yes="yes", no="no"), NO_PROMPT),
        (ScoringOptions(template="{query} {document}", yes="yes"), "--yes needs --no"),
        (
            ScoringOptions(template="{query} {document}", yes="no", no="no"),
            "are the same token of generator, so every score would be 0",
        ),
        (
            ScoringOptions(template="{query} {document}", yes="yes no", no="no"),
            "'yes no' is not exactly one token of generator",
        ),
        (ScoringOptions(template="nothing of that name"), "is neither a known name (none, qwen3-reranker, "),
        (ScoringOptions(template="{document} for {query}", yes="yes", no="no"), "{query}"),
        (ScoringOptions(instruction="find"), "--instruction needs a template, and none is known for generator"),
        (
            ScoringOptions(template="none", instruction="find"),
            "--instruction needs a template, and --template none sets none: leave one of them out",
        ),
        (
            ScoringOptions(template="none", yes="yes", no="no"),
            "--template none leaves out the prompt that asks for its answer: set --template",
        ),
        (
            ScoringOptions(template="Task: {instruction}\nQuery: {query}\n{document}", yes="yes", no="no"),
            "--template contains {instruction}: give the default by --instruction",
        ),
        (
            ScoringOptions(template="{query} {document}", yes="yes", no="no", relevant="yes"),
            "--relevant chooses one of two labels, and generator generates text: set --yes and --no instead",
        ),
        (ScoringOptions(template=""), "--template is empty: give a value, or leave --template out"),
        (ScoringOptions(template="none", instruction=" "), "--instruction is empty: give a value"),
    ],
    ids=str,
)
def test_unknown_generator_needs_options(options: ScoringOptions, reason: str, generator: Path, tmp_path: Path) -> None:
    """Nothing is guessed: the message names the missing option."""
    with pytest.raises(ExportFailed) as caught:
        export(ExportRequest(str(generator), tmp_path / "out", scoring=options))
    assert reason in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a text generator of no known family."""
    return write_decoder(tmp_path_factory.mktemp("source") / "generator", "Llama", head="CausalLM")


def test_options_replace_a_recipe(generator: Path, tmp_path: Path) -> None:
    """Set the template from a file, answer tokens, instruction and window, and disable a pass."""
    text = tmp_path / "template.txt"
    text.write_text("<bos>Task: {instruction}\nQ: {query}\nD: {document}\nRelevant?")
    options = ScoringOptions(
        template=str(text),
        instruction="find the answer",
        yes="yes",
        no="no",
        max_tokens=256,
    )
    without = frozenset({"last_token_last_layer"})
    request = ExportRequest(str(generator), tmp_path / "out", scoring=options, without_passes=without)
    manifest = export(request).bundle.manifest
    assert manifest.template
    assert manifest.template.model_dump() == {
        "before": ("<bos>Task: {instruction}\nQ: {query}\n",),
        "document": "D: {document}",
        "after": ("\nRelevant?",),
        "instruction": "find the answer",
    }
    assert manifest.max_tokens == 256
    assert manifest.recipe["passes"]["last_token_last_layer"] == "disabled"
    with pytest.raises(ExportFailed, match="--no-pass: unknown nothing; choose from fold_sizes, "):
        export(ExportRequest(str(generator), tmp_path / "other", without_passes=frozenset({"nothing"})))
