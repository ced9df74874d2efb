"""Labels of a classifier: the logits that make the score."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.scoring.label_rows import relevant_first
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.ranking.request import TooLong
from support.running import running

QUERY, DOCUMENTS = "which planets line up", ["a launch window to mars", "", "over the lazy dog " * 200]


@pytest.fixture
def two_labels(sources: Callable[[str], Path], tmp_path: Path) -> Path:
    """The folder of a BERT with two labels."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = shutil.copytree(sources("bert"), tmp_path / "two")
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True)
    model.config.id2label = {0: "not_relevant", 1: "relevant"}
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("relevant", "sign"), [(None, 1), ("0", -1), ("not_relevant", -1)])
async def test_two_labels_make_one_logit(relevant: str | None, sign: int, two_labels: Path, tmp_path: Path) -> None:
    """The relevance score equals softmax's. The name of a label, or an option, shows which one means relevant."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    bundle = export(ExportRequest(str(two_labels), tmp_path / "out", scoring=ScoringOptions(relevant=relevant))).bundle
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
        ({0: "1", 1: "0"}, "1", (0, 1)),
        ({0: "1", 1: "0"}, "0", (1, 0)),
        ({0: "1", 1: "b"}, "0", (0, 1)),
        ({0: "relevance"}, "relevance", (0,)),
        ({0: "relevance"}, "0", (0,)),
        ({1: "relevance"}, None, (0,)),
    ],
    ids=str,
)
def test_relevant_label_comes_first(labels: Mapping[int, str], wanted: str | None, rows: tuple[int, ...]) -> None:
    """It is found by its name, or set by an option: by its name, or by its index if no label has that name."""
    assert relevant_first("model", labels, wanted) == rows


@pytest.mark.parametrize("options", [ScoringOptions(yes="yes", no="no"), ScoringOptions(no="")], ids=str)
def test_answer_tokens_of_a_classifier_are_refused(
    options: ScoringOptions, sources: Callable[[str], Path], tmp_path: Path
) -> None:
    """They would have no effect."""
    with pytest.raises(ExportFailed, match="--yes and --no choose tokens of a text generator, and bert has a classif"):
        export(ExportRequest(str(sources("bert")), tmp_path / "out", scoring=options))


@pytest.mark.parametrize(
    ("labels", "wanted", "reason"),
    [
        ({0: "LABEL_0", 1: "LABEL_1"}, None, "their names do not show which one means relevant: set --relevant"),
        ({0: "yes", 1: "relevant"}, None, "their names do not show which one means relevant"),
        ({0: "a", 1: "b"}, "c", "no label 'c': set --relevant to one of 0 a, 1 b"),
        ({0: "a", 1: "a"}, "a", "two labels 'a': set --relevant to one of 0 a, 1 a"),
        ({0: "LABEL_0"}, "1", "no label '1': set --relevant to one of 0 LABEL_0"),
        ({0: "entailment", 1: "neutral", 2: "contradiction"}, None, "3 labels (0 entailment, 1 neutral, 2 contr"),
    ],
    ids=str,
)
def test_unclear_labels_are_refused(labels: Mapping[int, str], wanted: str | None, reason: str) -> None:
    """The message lists the labels."""
    with pytest.raises(ExportFailed) as caught:
        relevant_first("model", labels, wanted)
    assert reason in str(caught.value)
