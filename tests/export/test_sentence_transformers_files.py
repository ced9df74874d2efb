"""Settings in the files of a sentence-transformers CrossEncoder: activation, prompt, modules, chat template."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.scoring.model_scoring import resolve_scoring
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.source.model_config import read_config
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import load_tokenizer
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
def change(sources: Callable[[str], Path], tmp_path: Path) -> Change:
    """Write files into the folder of a BERT, or of a text generator."""

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


def _scoring(folder: Path, options: ScoringOptions | None = None, *, trusted: bool = False) -> Any:
    source = ModelSource(folder, "model", trusted=trusted)
    return resolve_scoring(source, read_config(source), options or ScoringOptions())


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
def test_activation_is_recorded_and_scores_are_probabilities(
    files: Mapping[str, Any], configured: Activation | None, change: Change
) -> None:
    """Each version of sentence-transformers writes it elsewhere. Only an option makes logits the scores."""
    folder = change(files)
    default, identity = _scoring(folder), _scoring(folder, ScoringOptions(activation=Activation.IDENTITY))
    assert (default.activation, default.configured) == (Activation.SIGMOID, configured)
    assert (identity.activation, identity.configured) == (Activation.IDENTITY, configured)


def test_unknown_activation_can_be_overridden(change: Change) -> None:
    """The recorded activation is then None."""
    folder = change({"config_sentence_transformers.json": {"activation_fn": "my.Tanh"}})
    assert _scoring(folder, ScoringOptions(activation=Activation.SIGMOID)).configured is None


@pytest.mark.parametrize(("option", "scored"), [(None, "sigmoid"), (Activation.IDENTITY, "identity")])
async def test_model_with_identity_activation_is_served_with_probabilities(
    option: Activation | None, scored: str, change: Change, tmp_path: Path
) -> None:
    """Scores are in [0, 1] unless --activation identity is set. The manifest records the configured activation."""
    folder = change({"config.json": {"sentence_transformers": {"activation_fn": IDENTITY}}})
    manifest = export(
        ExportRequest(str(folder), tmp_path / "out", scoring=ScoringOptions(activation=option))
    ).bundle.manifest
    assert (manifest.activation.value, manifest.recipe["configured_activation"]) == (scored, "identity")
    async with running(open_bundle(tmp_path / "out")) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = [document.logit for document in ranking]
    expected = logits if option else [1 / (1 + math.exp(-logit)) for logit in logits]
    assert [document.relevance_score for document in ranking] == pytest.approx(expected)
    assert any(not 0 <= logit <= 1 for logit in logits), "logits in [0, 1] could not be told from probabilities"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"config_sentence_transformers.json": {"activation_fn": "my.Tanh"}},
            "activation my.Tanh; only Sigmoid and Identity are known: set --activation",
        ),
        (
            {"config_sentence_transformers.json": {"prompts": {"q": "Find"}, "default_prompt_name": "q"}},
            "has a default prompt, but no chat template with a place for it: set --template",
        ),
        (
            {"config_sentence_transformers.json": {"default_prompt_name": "q"}},
            "has no prompt 'q', the value of its default_prompt_name",
        ),
        (
            {"modules.json": [TRANSFORMER, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]},
            "has the modules Transformer, Pooling; only Transformer, alone or with LogitScore, can be exported",
        ),
    ],
    ids=["activation", "prompt", "no such prompt", "modules"],
)
def test_settings_that_cannot_be_exported_are_refused(files: Mapping[str, Any], reason: str, change: Change) -> None:
    """The message names the activation, the prompt or the modules."""
    with pytest.raises(ExportFailed) as caught:
        _scoring(change(files))
    assert reason in str(caught.value)


def _chat_folder(prompt: str | None, chat: str = CHAT) -> dict[str, Any]:
    """Return the files of a text generator as sentence-transformers 5.4 writes them."""
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
async def test_chat_template_is_converted(prompt: str | None, change: Change, tmp_path: Path) -> None:
    """Text, placeholders, default instruction and answer tokens: the logits equal those of the rendered text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = change(_chat_folder(prompt), generator=True)
    bundle = export(ExportRequest(str(folder), tmp_path / "out")).bundle
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


NOT_CONVERTED = "writes pairs with a chat template that cannot be converted: set --template"
TRIMMING = CHAT.replace("{{ document }}", "{{ document | trim }}")
MESSAGES = CHAT[: CHAT.index("<|im_start|>")]


@pytest.mark.parametrize(
    "chat",
    [
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        TRIMMING,
        MESSAGES + "D: {{ document }}\nQ: {{ query }}",
        MESSAGES + "Q: {{ query }} I: {{ task }} D: {{ document }}",
        MESSAGES + "Q: {{ query }}\nD: {{ document }}\nI: {{ task }}",
    ],
    ids=[
        "for conversations",
        "trims documents",
        "document first",
        "instruction beside the document",
        "instruction after the document",
    ],
)
@pytest.mark.parametrize("prompt", [None, "seek"])
def test_chat_template_that_the_server_cannot_write_is_refused(prompt: str | None, chat: str, change: Change) -> None:
    """The server writes the query first, the instruction before the line of the document, and texts unchanged."""
    with pytest.raises(ExportFailed, match=NOT_CONVERTED):
        _scoring(change(_chat_folder(prompt, chat), generator=True))


def test_tokenizer_of_a_chat_template_is_loaded_once(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three texts are rendered with it. A large vocabulary takes seconds to load."""
    loaded: list[ModelSource] = []

    def load(source: ModelSource) -> Any:
        loaded.append(source)
        return load_tokenizer(source)

    monkeypatch.setattr("rerank_export.scoring.chat_template.load_tokenizer", load)
    assert _scoring(change(_chat_folder("seek"), generator=True)).template.instruction == "seek"
    assert len(loaded) == 1


def test_chat_template_of_a_tokenizer_with_own_code(change: Change) -> None:
    """The code runs only if it is trusted. Otherwise, the error names the tokenizer."""
    folder = change(_chat_folder(None), generator=True)
    (folder / "own.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n\nclass OwnTokenizerFast(PreTrainedTokenizerFast): pass\n"
    )
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text()) if path.exists() else {}
    own = {"tokenizer_class": "OwnTokenizerFast", "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizerFast"]}}
    path.write_text(json.dumps(stated | own))
    assert _scoring(folder, trusted=True).template.instruction == "find the answer"
    with pytest.raises(ExportFailed, match=r"cannot load the tokenizer of model: .*trust_remote_code"):
        _scoring(folder)
    with pytest.raises(ExportFailed, match=r"cannot load the tokenizer of model: .*trust_remote_code"):
        _scoring(folder, ScoringOptions(template="{query} {document}", yes="a", no="b"))


def test_recipe_does_not_replace_a_chat_template(change: Change) -> None:
    """sentence-transformers writes the chat template for a model of a known name, too. Only an option overrides it."""
    folder = change(
        {**_chat_folder(None, TRIMMING), "config.json": {"_name_or_path": "Qwen/Qwen3-Reranker-0.6B"}}, generator=True
    )
    with pytest.raises(ExportFailed, match=NOT_CONVERTED):
        _scoring(folder)
    named = _scoring(folder, ScoringOptions(template="qwen3-reranker"))
    assert named.template_origin == "--template qwen3-reranker"


def test_pair_format_does_not_replace_a_chat_template(change: Change) -> None:
    """A tokenizer with separators is no sign of the prompt that the model was trained with."""
    files = {**_chat_folder(None, TRIMMING), "modules.json": [TRANSFORMER]}
    with pytest.raises(ExportFailed, match=NOT_CONVERTED):
        _scoring(change(files))


def test_text_of_a_chat_template_may_have_braces(change: Change) -> None:
    """The gate scores the rendered text. Slots in a query or a document stay as they are."""
    from transformers import AutoTokenizer

    folder = change(_chat_folder(None, MESSAGES + '{"query": "{{ query }}"}\n{"text": {{ document }}}'), generator=True)
    query, document = "a {document}", "{query} {0}"
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    rendered = AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, tokenize=False)
    assert _scoring(folder).published.filled(query, document, "") == rendered


def test_chat_template_whose_parts_have_other_tokens_is_refused(change: Change, tmp_path: Path) -> None:
    """sentence-transformers tokenizes the rendered text in one call, so that a document's full stop and the line end
    after it are one token. The server tokenizes the parts one by one."""
    from transformers import AutoTokenizer

    folder = change(_chat_folder(None, MESSAGES + "Q: {{ query }}\nD: {{ document }}\nRelevant?"), generator=True)
    assert len(AutoTokenizer.from_pretrained(folder).tokenize(".\n")) == 1
    with pytest.raises(ExportFailed, match=r"the template \(the folder's chat template\) does not fit the tokenizer"):
        export(ExportRequest(str(folder), tmp_path / "out"))


def test_true_token_id_alone_is_enough(change: Change) -> None:
    """Without a false_token_id, its logit is the score."""
    files = _chat_folder(None) | {"1_LogitScore/config.json": {"true_token_id": 300, "false_token_id": None}}
    assert _scoring(change(files, generator=True)).rows == (300,)
