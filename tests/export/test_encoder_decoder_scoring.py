"""Text generators with an encoder, such as monoT5: served, and compared with the code of their authors."""

from pathlib import Path

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.reporter import Reporter
from rerank_export.scoring.recipe_choice import recipe_for
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.request import TooLong
from support.architectures import ENCODER_DECODERS
from support.encoder_decoders import write_encoder_decoder
from support.running import running

QUERY = "what is the capital"
DOCUMENTS = ["Washington is the capital", "", "fiebre und Kopfweh", "ok", "a launch window to mars " * 9, "</s> x"]


def _pygaggle_logits(folder: Path, yes: str, no: str) -> list[float]:
    """Compute the logits as pygaggle's MonoT5 does: the first decoded token after the formatted string."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    true, false = (tokenizer.convert_tokens_to_ids(f"▁{word}") for word in (yes, no))
    texts = [f"Query: {QUERY} Document: {document} Relevant:" for document in DOCUMENTS]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
    start = torch.full((len(texts), 1), model.config.decoder_start_token_id)
    with torch.inference_mode():
        logits = model(**batch, decoder_input_ids=start).logits[:, 0]
    difference: list[float] = (logits[:, true] - logits[:, false]).tolist()
    return difference


async def _served(bundle: Bundle) -> list[float]:
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    return [logits[index] for index in range(len(DOCUMENTS))]


@pytest.mark.parametrize("name", ENCODER_DECODERS)
async def test_generator_scores_like_its_own_code(name: str, tmp_path: Path) -> None:
    """Prompt and answer tokens are those of the family; the sigmoid of the logit is the probability of the answer."""
    known = ENCODER_DECODERS[name]
    tied = known.family == "T5"  # monoT5 scales the decoder's output, mT5 does not
    source = write_encoder_decoder(tmp_path / name, known.family, tie_word_embeddings=tied)
    lines: list[str] = []
    bundle = export(ExportRequest(str(source), tmp_path / "out"), Reporter(status=lines.append)).bundle
    assert f"the template comes from the recipe {known.recipe}" in lines
    assert (bundle.manifest.max_tokens, bundle.manifest.recipe["task"]) == (512, "text2text-generation")
    recipe = recipe_for([name], known.kind)
    assert recipe
    assert recipe.yes
    assert recipe.no
    expected = _pygaggle_logits(source, recipe.yes, recipe.no)
    assert await _served(bundle) == pytest.approx(expected, abs=2e-5)
    assert max(expected) - min(expected) > 0.01


@pytest.mark.parametrize(
    ("name", "kind", "recipe"),
    [
        ("castorini/monot5-base-msmarco", "t5", "monot5"),
        ("castorini/monot5-large-msmarco-10k", "t5", "monot5"),
        ("castorini/monot5-3b-med-msmarco", "t5", "monot5"),
        ("castorini/duot5-base-msmarco", "t5", None),
        ("unicamp-dl/mt5-base-en-msmarco", "mt5", "mt5-msmarco"),
        ("unicamp-dl/mt5-base-en-pt-msmarco-v2", "mt5", "mt5-msmarco"),
        ("unicamp-dl/mt5-base-mmarco-v2", "mt5", "mt5-msmarco"),
        ("unicamp-dl/mt5-13b-mmarco-100k", "mt5", None),
        ("unicamp-dl/ptt5-base-en-pt-msmarco-100k-v2", "t5", "ptt5-msmarco"),
        ("google/flan-t5-base", "t5", None),
    ],
)
def test_recipe_depends_on_the_training(name: str, kind: str, recipe: str | None) -> None:
    """pygaggle's table of prediction tokens names the words of each model."""
    found = recipe_for([name], kind)
    assert (found.name if found else None) == recipe


def test_unknown_generator_needs_options(tmp_path: Path) -> None:
    """Its prompt is not guessed. A template and answer words are enough."""
    source = write_encoder_decoder(tmp_path / "flan", "T5")
    with pytest.raises(ExportFailed, match="neither its files nor a recipe define its prompt and answer"):
        export(ExportRequest(str(source), tmp_path / "out"))
    options = ScoringOptions(template="{query} with {document}", yes="yes", no="")
    bundle = export(ExportRequest(str(source), tmp_path / "out", scoring=options)).bundle
    assert len(bundle.manifest.recipe["rows"]) == 1


@pytest.mark.parametrize("family", ["T5", "MT5", "UMT5"])
def test_classifier_with_a_decoder_is_exported(family: str, tmp_path: Path) -> None:
    """Its head reads the decoder at the end of the pair."""
    source = write_encoder_decoder(tmp_path / "t5", family, head="SequenceClassification", id2label={0: "relevance"})
    options = ScoringOptions(template="{query}\n{document}\n</s>")
    assert export(ExportRequest(str(source), tmp_path / "out", scoring=options)).verified.edges.holds
