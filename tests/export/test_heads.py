"""Heads of two labels, and what a folder of sentence-transformers says."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.exporter import export
from rerank_export.labels import relevant_first
from rerank_export.scoring import Wishes, scoring_of
from rerank_export.source import Source, read_config
from rerank_service.encoding.template import Template
from rerank_service.models.bundle import open_bundle
from rerank_service.ranking.request import TooLong
from rerank_service.ranking.scores import Activation
from support.decoders import write_decoder
from support.running import running

QUERY, DOCUMENTS = "which planets line up", ["a launch window to mars", "", "over the lazy dog " * 200]
CHAT = (
    "{%- set query = messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first -%}"
    "{%- set document = messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first -%}"
    "{%- set task = messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first"
    " | default('find the answer') -%}"
    "<|im_start|>system\nTask: {{ task }}<|im_end|>\nQuery: {{ query }}\nDocument: {{ document }}<|im_end|>\n"
    "{%- if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}"
)
TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
LOGIT_SCORE = {
    "idx": 1,
    "name": "1",
    "path": "1_LogitScore",
    "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
}
Change = Callable[..., Path]


@pytest.fixture
def two_labels(sources: Callable[[str], Path], tmp_path: Path) -> Path:
    """A BERT with two labels."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = shutil.copytree(sources("bert"), tmp_path / "two")
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True)
    model.config.id2label = {0: "not_relevant", 1: "relevant"}
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("relevant", "sign"), [(None, 1), ("0", -1), ("not_relevant", -1)])
async def test_two_labels_are_one_logit(relevant: str | None, sign: int, two_labels: Path, tmp_path: Path) -> None:
    """The probability is that of softmax; which label means relevant is told by its name, or by an option."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    bundle = export(str(two_labels), tmp_path / "out", wishes=Wishes(relevant=relevant)).bundle
    tokenizer = AutoTokenizer.from_pretrained(two_labels)
    model = AutoModelForSequenceClassification.from_pretrained(two_labels).eval()
    batch = tokenizer(
        [QUERY] * 3, DOCUMENTS, padding=True, truncation="only_second", max_length=512, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = model(**batch).logits.softmax(-1)[:, 1 if sign > 0 else 0].tolist()
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    scores = {document.index: document.relevance_score for document in ranking}
    assert [scores[index] for index in range(3)] == pytest.approx(expected, abs=1e-5)
    assert bundle.manifest.recipe["passes"]["first_token_last_layer"].endswith("matrix products for one token")


@pytest.mark.parametrize(
    ("labels", "wanted", "rows"),
    [
        ({0: "LABEL_0"}, None, (0,)),
        ({0: "Relevant", 1: "Irrelevant"}, None, (0, 1)),
        ({0: "False", 1: "True"}, None, (1, 0)),
        ({0: "other", 1: "not-relevant"}, None, (0, 1)),
        ({0: "LABEL_0", 1: "LABEL_1"}, "LABEL_1", (1, 0)),
        ({0: "LABEL_0", 1: "LABEL_1"}, "0", (0, 1)),
    ],
    ids=str,
)
def test_which_label_means_relevant(labels: Mapping[int, str], wanted: str | None, rows: tuple[int, ...]) -> None:
    """Its logit comes first."""
    assert relevant_first("model", labels, wanted) == rows


@pytest.mark.parametrize(
    ("labels", "wanted", "reason"),
    [
        ({0: "LABEL_0", 1: "LABEL_1"}, None, "it is not clear which means relevant: say so with --relevant"),
        ({0: "yes", 1: "relevant"}, None, "it is not clear which means relevant"),
        ({0: "a", 1: "b"}, "c", "no label 'c': --relevant is one of 0 a, 1 b"),
        ({0: "entailment", 1: "neutral", 2: "contradiction"}, None, "3 labels (0 entailment, 1 neutral, 2 contr"),
    ],
    ids=str,
)
def test_labels_that_are_not_clear_are_refused(labels: Mapping[int, str], wanted: str | None, reason: str) -> None:
    """By their names."""
    with pytest.raises(ExportFailed) as caught:
        relevant_first("model", labels, wanted)
    assert reason in str(caught.value)


@pytest.fixture
def change(sources: Callable[[str], Path], tmp_path: Path) -> Change:
    """Writes files beside a BERT's, or a generator's."""

    def write(files: Mapping[str, Any], *, generator: bool = False) -> Path:
        folder = tmp_path / "model"
        if generator:
            write_decoder(folder, "Qwen3", head="CausalLM")
        else:
            shutil.copytree(sources("bert"), folder)
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            kept = json.loads((folder / name).read_text()) if name == "config.json" else {}
            (folder / name).write_text(
                content if isinstance(content, str) else json.dumps(kept | content if kept else content)
            )
        return folder

    return write


def _scoring(folder: Path, wishes: Wishes | None = None) -> Any:
    source = Source(folder, "model")
    return scoring_of(source, read_config(source), wishes or Wishes())


SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(
    ("files", "configured"),
    [
        ({}, None),
        ({"config.json": {"sbert_ce_default_activation_function": IDENTITY}}, Activation.IDENTITY),
        ({"config.json": {"sentence_transformers": {"activation_fn": IDENTITY}}}, Activation.IDENTITY),
        ({"config.json": {"sentence_transformers": {"activation_fn": SIGMOID}}}, Activation.SIGMOID),
        ({"config_sentence_transformers.json": {"activation_fn": IDENTITY}}, Activation.IDENTITY),
    ],
    ids=["none", "up to 3", "since 4", "sigmoid", "since 5.4"],
)
def test_the_activation_is_read_and_scores_are_probabilities(
    files: Mapping[str, Any], configured: Activation | None, change: Change
) -> None:
    """Wherever a version of sentence-transformers wrote it; only an option makes logits the scores."""
    folder = change(files)
    read, asked = _scoring(folder), _scoring(folder, Wishes(activation=Activation.IDENTITY))
    assert (read.activation, read.configured) == (Activation.SIGMOID, configured)
    assert (asked.activation, asked.configured) == (Activation.IDENTITY, configured)


def test_an_unknown_activation_may_be_overruled(change: Change) -> None:
    """What the model's authors had in mind is then not known, and not asked for."""
    folder = change({"config_sentence_transformers.json": {"activation_fn": "my.Tanh"}})
    assert _scoring(folder, Wishes(activation=Activation.SIGMOID)).configured is None


@pytest.mark.parametrize(("wished", "scored"), [(None, "sigmoid"), (Activation.IDENTITY, "identity")])
async def test_a_model_of_identity_is_served_with_probabilities(
    wished: Activation | None, scored: str, change: Change, tmp_path: Path
) -> None:
    """As ms-marco's: in [0, 1] unless asked otherwise; the manifest keeps what was configured."""
    folder = change({"config.json": {"sentence_transformers": {"activation_fn": IDENTITY}}})
    manifest = export(str(folder), tmp_path / "out", wishes=Wishes(activation=wished)).bundle.manifest
    assert (manifest.activation.value, manifest.recipe["configured_activation"]) == (scored, "identity")
    async with running(open_bundle(tmp_path / "out")) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = [document.logit for document in ranking]
    expected = logits if wished else [1 / (1 + math.exp(-logit)) for logit in logits]
    assert [document.relevance_score for document in ranking] == pytest.approx(expected)
    assert any(not 0 <= logit <= 1 for logit in logits), "else the two could not be told apart"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config_sentence_transformers.json": {"activation_fn": "my.Tanh"}}, "activation my.Tanh, which is neither"),
        (
            {"config_sentence_transformers.json": {"prompts": {"q": "Find"}, "default_prompt_name": "q"}},
            "has a default prompt, and no chat template that takes it",
        ),
        ({"config_sentence_transformers.json": {"default_prompt_name": "q"}}, "has no prompt 'q'"),
        (
            {"modules.json": [TRANSFORMER, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]},
            "has the modules Transformer, Pooling; of sentence-transformers'",
        ),
    ],
    ids=["activation", "prompt", "no such prompt", "modules"],
)
def test_what_cannot_be_exported_of_it_is_refused(files: Mapping[str, Any], reason: str, change: Change) -> None:
    """By name: an activation, a prompt without a place, a step."""
    with pytest.raises(ExportFailed) as caught:
        _scoring(change(files))
    assert reason in str(caught.value)


def _chat_folder(prompt: str | None, chat: str = CHAT) -> dict[str, Any]:
    """Of a generator, as sentence-transformers 5.4 writes it."""
    forward = {"method": "forward", "method_output_name": "logits"}
    return {
        "modules.json": [TRANSFORMER, LOGIT_SCORE],
        "1_LogitScore/config.json": {"true_token_id": 300, "false_token_id": 301},
        "config_sentence_transformers.json": {
            "model_type": "CrossEncoder",
            "activation_fn": IDENTITY,
            "prompts": {"q": prompt} if prompt else {},
            "default_prompt_name": "q" if prompt else None,
        },
        "sentence_bert_config.json": {
            "modality_config": {"text": forward, "message": {**forward, "format": "flat"}},
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
        "chat_template.jinja": chat,
    }


@pytest.mark.parametrize("prompt", [None, "seek"])
async def test_a_chat_template_is_read(prompt: str | None, change: Change, tmp_path: Path) -> None:
    """Its text, its slots, the default instruction, the words: the logits are those of the whole rendered text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = change(_chat_folder(prompt), generator=True)
    bundle = export(str(folder), tmp_path / "out").bundle
    assert (bundle.manifest.activation, bundle.manifest.recipe["configured_activation"]) == (
        Activation.SIGMOID,
        "identity",
    )
    assert bundle.manifest.template == Template(
        before=("<|im_start|>system\nTask: {instruction}<|im_end|>\nQuery: {query}\n",),
        document="Document: {document}",
        after=("<|im_end|><|im_start|>assistant\n",),
        instruction=prompt or "find the answer",
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    system = [{"role": "system", "content": prompt}] if prompt else []
    for document in DOCUMENTS[:2]:
        messages = [*system, {"role": "query", "content": QUERY}, {"role": "document", "content": document}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        with torch.inference_mode():
            logits = model(torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])).logits[0, -1]
        expected.append((logits[300] - logits[301]).item())
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS[:2])
    logits = {document.index: document.logit for document in ranking}
    assert [logits[0], logits[1]] == pytest.approx(expected, abs=1e-5)


def test_a_chat_template_of_another_purpose_is_none(change: Change) -> None:
    """One for conversations carries no pair, so the words alone are not enough."""
    folder = change(_chat_folder(None, "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}"
                                       "{% endfor %}"), generator=True)  # fmt: skip
    with pytest.raises(ExportFailed, match="nothing says how it is asked"):
        _scoring(folder)


def test_a_chat_template_that_changes_texts_is_not_taken(change: Change) -> None:
    """It trims documents, which the server would not."""
    trimming = CHAT.replace("{{ document }}", "{{ document | trim }}")
    with pytest.raises(ExportFailed, match="nothing says how it is asked"):
        _scoring(change(_chat_folder(None, trimming), generator=True))


def test_one_word_is_enough_where_the_folder_says_so(change: Change) -> None:
    """The logit of true_token_id alone is then the score."""
    files = _chat_folder(None) | {"1_LogitScore/config.json": {"true_token_id": 300, "false_token_id": None}}
    assert _scoring(change(files, generator=True)).rows == (300,)
