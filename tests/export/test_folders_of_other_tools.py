"""Folders that optimum writes and onnxruntime quantizes are served unchanged."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rerank_export.library_output import silence_libraries
from rerank_service.engine.host import cpu
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.ranking.request import TooLong
from rerank_service.tools.doctor.processor import INT8_FEATURES
from support.running import running

QUERY, DOCUMENTS = "which planets line up", ["a launch window to mars", "", "over the lazy dog " * 60]
TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}


@pytest.fixture(scope="module")
def exported(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a model's folder as `optimum-cli export onnx` writes it."""

    @cache
    def make(family: str) -> Path:
        from optimum.exporters.onnx import main_export

        folder = tmp_path_factory.mktemp("optimum") / family
        with silence_libraries():
            main_export(str(sources(family)), output=folder, task="text-classification", do_validation=False)
        return folder

    return make


def _expected(folder: Path, window: int) -> list[float]:
    """Compute the logits of the pairs with transformers, each pair alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    options: dict[str, Any] = {"truncation": "only_second", "max_length": window, "return_tensors": "pt"}
    with torch.inference_mode():
        return [model(**tokenizer([QUERY], [document], **options)).logits.item() for document in DOCUMENTS]


async def _logits(bundle: Bundle) -> list[float]:
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    return [document.logit for document in sorted(ranking, key=lambda document: document.index)]


@pytest.mark.parametrize("family", ["bert", "roberta"])
async def test_optimum_folder_is_served(
    family: str, exported: Callable[[str], Path], sources: Callable[[str], Path]
) -> None:
    """The logits equal those of the model, in padded batches."""
    bundle = open_bundle(exported(family))
    assert await _logits(bundle) == pytest.approx(_expected(sources(family), 512), abs=1e-5)


@pytest.fixture
def sentence_transformers_folder(exported: Callable[[str], Path], tmp_path: Path) -> Path:
    """The folder of a saved CrossEncoder, with a shorter window and a quantized graph beside the fp32 graph."""
    from onnxruntime.quantization import quantize_dynamic

    folder = tmp_path / "cross-encoder"
    (folder / "onnx").mkdir(parents=True)
    for path in exported("bert").iterdir():
        (folder / ("onnx" if path.suffix == ".onnx" else "") / path.name).write_bytes(path.read_bytes())
    (folder / "modules.json").write_text(json.dumps([TRANSFORMER]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48, "do_lower_case": False}))
    quantize_dynamic(folder / "onnx" / "model.onnx", folder / "onnx" / "model_quantized.onnx")
    return folder


async def test_sentence_transformers_folder_is_served(
    sentence_transformers_folder: Path, sources: Callable[[str], Path]
) -> None:
    """Its max_seq_length is the window. The fp32 graph is served unless another file is named.

    The int8 graph is less exact on processors without VNNI, where sums in ONNX Runtime overflow (docs/decisions/0073).
    """
    folder = sentence_transformers_folder
    expected = _expected(sources("bert"), 48)
    assert await _logits(open_bundle(folder)) == pytest.approx(expected, abs=1e-5)
    quantized = open_bundle(folder / "onnx" / "model_quantized.onnx")
    assert quantized.manifest.variants[0].precision == "int8"
    logits = await _logits(quantized)
    assert logits == pytest.approx(expected, abs=0.2 if INT8_FEATURES & cpu().features else 0.6)
    assert logits != pytest.approx(expected, abs=1e-5)
