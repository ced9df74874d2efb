"""A model is not exported in a prompt that nothing confirms: its template is given, known, or asked not to exist."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.inspection import notices
from rerank_export.reporter import Reporter
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.scoring.pair_template import USER, choose_template, template_doubts
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.encoding.template import Template
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.decoders import DECODER_TYPES, is_decoder
from rerank_service.ranking.request import TooLong
from support.decoders import SPECIALS, write_decoder
from support.prompted import begin_texts, own_logits, set_config, write_nemotron
from support.running import running

QUERY = "what is the capital"
DOCUMENTS = ["Washington is the capital", "", " is it? ", "ends.\n", "fiebre 🚀 und Kopfweh", "\n\nb"]
SIZES: dict[str, dict[str, Any]] = {
    "Phi3": {"pad_token_id": 0, "rope_scaling": None},
    "SmolLM3": {},
    "Qwen3Moe": {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024},
}
"""Decoders without an entry in support.architectures, and the settings that make them small."""
END = SPECIALS[2]


def _refusal(folder: Path, out: Path, *, trusted: bool = False, template: str | None = None) -> str:
    request = ExportRequest(str(folder), out, trust_remote_code=trusted, scoring=ScoringOptions(template=template))
    with pytest.raises(ExportFailed) as caught:
        export(request)
    assert not out.exists()
    line = str(caught.value)
    assert "\n" not in line
    return line


async def _served(bundle: Bundle) -> list[float]:
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    return [logits[index] for index in range(len(DOCUMENTS))]


def test_nemotron_class_without_its_name_is_refused(tmp_path: Path) -> None:
    """Its tokenizer joins query and document by nothing. The message names the recipe to choose."""
    folder = write_nemotron(tmp_path / "my-reranker", begins=False)
    assert _refusal(folder, tmp_path / "out", trusted=True) == (
        "my-reranker is a decoder (llama_bidirec), and neither its files nor a recipe give the template that it was "
        "trained with: its tokenizer puts nothing between query and document. Set --template to a text or file with "
        "{query} and {document}, to nemotron-rerank if it is such a model, or to none if the model was trained with "
        "the tokenizer's pair format"
    )


@pytest.mark.parametrize("family", SIZES)
def test_decoder_of_any_type_is_refused_without_a_template(family: str, tmp_path: Path) -> None:
    """Phi-3, SmolLM3 and Qwen3-MoE heads, and the oldest decoder of all."""
    folder = write_decoder(tmp_path / "model", family, head="SequenceClassification", **SIZES[family])
    assert "its tokenizer puts nothing between query and document. Set --template" in _refusal(folder, tmp_path / "out")


@pytest.mark.parametrize(("end", "between"), [("", "<bos>"), (END, f"{END} <bos>")], ids=["begin", "begin and end"])
def test_begin_and_end_of_a_text_do_not_make_a_prompt(end: str, between: str, tmp_path: Path) -> None:
    """Llama's tokenizers put them around every text, so two texts with them are no pair that a model was trained on."""
    folder = write_decoder(tmp_path / "model", "Llama", head="SequenceClassification")
    begin_texts(folder, "<bos>", end=end)
    assert f"its tokenizer puts only {between} between query and document" in _refusal(folder, tmp_path / "out")


def test_encoder_whose_tokenizer_joins_the_texts_is_refused(source: Path, tmp_path: Path) -> None:
    """A BERT that lost its [SEP], or has its first token between the texts."""
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    for between in ([], [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]):
        first, query, document = (
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        )
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [first, query],
            "pair": [first, query, *between, document],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
        }
        (source / "tokenizer.json").write_text(json.dumps(tokenizer))
        found = "only [CLS]" if between else "nothing"
        reason = _refusal(source, tmp_path / "out")
        assert reason.startswith("model needs a template (bert), and neither its files nor a recipe give the template ")
        assert f"its tokenizer puts {found} between query and document" in reason


@pytest.mark.parametrize("value", ["none", "pair"])
async def test_none_keeps_the_pair_format(value: str, tmp_path: Path) -> None:
    """The manifest says that the user asked for it. `pair` is the older name."""
    folder = write_decoder(tmp_path / "phi", "Phi3", head="SequenceClassification", **SIZES["Phi3"])
    lines: list[str] = []
    request = ExportRequest(str(folder), tmp_path / "out", scoring=ScoringOptions(template=value))
    bundle = export(request, Reporter(status=lines.append)).bundle
    assert "pairs have the tokenizer's own format (--template none)" in lines
    assert (bundle.manifest.template, bundle.manifest.template_origin) == (None, "--template none")
    assert await _served(open_bundle(bundle.folder)) == pytest.approx(
        own_logits(folder, [QUERY + document for document in DOCUMENTS[:2]])
        + (await _served(bundle))[2:],  # tokens join across the boundary in the other texts
        abs=1e-5,
    )


async def test_template_of_the_user_is_enough(tmp_path: Path) -> None:
    """A text makes any decoder exportable. The manifest names the option."""
    folder = write_decoder(tmp_path / "smol", "SmolLM3", head="SequenceClassification")
    options = ScoringOptions(template="<bos>A: {query}\nB: {document}<|im_end|>")
    bundle = export(ExportRequest(str(folder), tmp_path / "out", scoring=options)).bundle
    assert bundle.manifest.template_origin == "--template"
    texts = [f"<bos>A: {QUERY}\nB: {document}<|im_end|>" for document in DOCUMENTS]
    assert await _served(bundle) == pytest.approx(own_logits(folder, texts), abs=1e-5)


@pytest.mark.parametrize(("begin", "noticed"), [("", True), ("<bos>", False)])
def test_template_without_the_first_token_of_the_tokenizer_is_noticed(
    begin: str, noticed: bool, tmp_path: Path
) -> None:
    """Most models were trained with it, and the server adds none to a template."""
    folder = write_decoder(tmp_path / "model", "Llama", head="SequenceClassification")
    begin_texts(folder, "<bos>")
    lines: list[str] = []
    options = ScoringOptions(template=f"{begin}A: {{query}}\nB: {{document}}")
    export(ExportRequest(str(folder), tmp_path / "out", scoring=options), Reporter(status=lines.append))
    line = "the template does not begin with <bos>, as other texts of this tokenizer do: is it complete?"
    assert (line in lines) is noticed


@pytest.mark.parametrize(
    ("text", "doubts"),
    [
        ("Q: {query}\nD: {document}", []),
        ("Q: {query}\nD: {document}</s>", []),
        (
            "{Query} {{ title }} {query}\nD: {document}",
            [
                "the template contains {Query}, which is no slot and stays as it is",
                "the template contains {{ title }}, which is no slot and stays as it is",
            ],
        ),
        (
            r"Q: {query}\nD: {document}",
            [r"the template contains \n as two characters: write a line end as such, in bash as $'…\n…'"],
        ),
        (
            "Q: {query}\nD: {document}\n",
            ["the template ends with a line end: if the model's prompt does not, remove it from the end of the file"],
        ),
    ],
)
def test_likely_mistakes_of_a_template_are_noticed(text: str, doubts: list[str]) -> None:
    """A wrong prompt gives scores, too. The export prints a line for each of them."""
    template = choose_template("model", ScoringOptions(template=text), None, None).template
    assert template is not None
    assert list(template_doubts(template)) == doubts
    scoring = Scoring(template=template, template_origin=USER)
    assert list(notices(scoring)) == [f"the template comes from {USER}", *doubts]


@pytest.mark.parametrize(
    ("name", "template", "origin"),
    [
        ("llama-nemotron-rerank-1b-v2", None, "the recipe nemotron-rerank"),
        ("my-reranker", "nemotron-rerank", "--template nemotron-rerank"),
    ],
)
async def test_nemotron_is_exported_in_its_prompt(name: str, template: str | None, origin: str, tmp_path: Path) -> None:
    """The logits equal those of the prompt on the model card, one string that the tokenizer begins with a token."""
    folder = write_nemotron(tmp_path / name)
    options = ScoringOptions(template=template)
    request = ExportRequest(str(folder), tmp_path / "out", trust_remote_code=True, scoring=options)
    bundle = export(request).bundle
    assert bundle.manifest.template_origin == origin
    assert bundle.manifest.template == Template(
        before=("<|begin_of_text|>", "question:{query} \n \n"), document=" passage:{document}"
    )
    expected = own_logits(folder, [f"question:{QUERY} \n \n passage:{document}" for document in DOCUMENTS])
    assert await _served(open_bundle(bundle.folder)) == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01


async def test_name_in_config_json_selects_the_recipe(tmp_path: Path) -> None:
    """A copy in a folder of another name keeps its hub id in `_name_or_path`."""
    folder = write_nemotron(tmp_path / "copy")
    set_config(folder, _name_or_path="nvidia/llama-nemotron-rerank-1b-v2")
    bundle = export(ExportRequest(str(folder), tmp_path / "out", trust_remote_code=True)).bundle
    assert bundle.manifest.template_origin == "the recipe nemotron-rerank"


def test_two_matching_recipes_are_no_recipe(tmp_path: Path) -> None:
    """The folder has the name of one family and the origin of another, so the user must choose."""
    folder = write_decoder(tmp_path / "zerank-1", "Qwen3", head="SequenceClassification")
    set_config(folder, _name_or_path="Qwen/Qwen3-Reranker-4B")
    assert "to qwen3-reranker or zerank if it is such a model" in _refusal(folder, tmp_path / "out")


def test_recipe_that_does_not_fit_the_tokenizer_is_refused(tmp_path: Path) -> None:
    """Without the token that begins a text, the parts of the template differ from the published prompt."""
    folder = write_nemotron(tmp_path / "llama-nemotron-rerank-1b-v2", begins=False)
    reason = _refusal(folder, tmp_path / "out", trusted=True)
    assert reason.startswith("the template (the recipe nemotron-rerank) does not fit the tokenizer: ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ctxl-rerank-v2-instruct-multilingual-1b", "has a prompt with the document before the query"),
        ("jina-reranker-v3", "scores all documents of a request in one prompt"),
    ],
)
def test_family_with_another_order_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    """The server writes one query, then one document."""
    folder = write_decoder(tmp_path / name, "Qwen3", head="CausalLM")
    assert _refusal(folder, tmp_path / "out").startswith(f"{name} {reason}")


def test_encoder_needs_no_template(bundles: Callable[[str], Bundle]) -> None:
    """A separator between the texts is the format that every encoder is trained with."""
    assert bundles("bert").manifest.template_origin == "the tokenizer's pair format"


_OTHERS = {
    *("bert-generation", "xlnet"),
    *("bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "pegasus", "plbart", "prophetnet"),
    *("xlm-prophetnet", "speech_to_text_2"),
    *("fuyu", "git", "got_ocr2", "mllama", "moshi", "musicgen", "musicgen_melody", "trocr", "whisper"),
}
"""Types that transformers can generate text with, and that are no decoders of text alone: encoders that were trained on
pairs, encoder-decoders, and models of images or sounds."""


def test_decoder_types_are_those_of_transformers() -> None:
    """A type that generates text and fills no masks is a decoder."""
    from transformers.models.auto import modeling_auto as auto

    generating = set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    assert generating - _OTHERS - DECODER_TYPES == set()
    assert not DECODER_TYPES & _OTHERS
    for kind, architecture in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.items():
        if kind not in generating:
            assert not is_decoder(kind, architecture), kind
