"""Architectures on `openvino int8`: scores depend on their own pair only, and drift is bounded. Needs VNNI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import works
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import EncodedPair, collate
from support.decoders import write_decoder
from support.limits import batch_limits

ENGINE = Engine(Provider.OPENVINO, Precision.INT8)
pytestmark = pytest.mark.skipif(not works(ENGINE), reason="OpenVINO or the processor has no int8 here")
DECODER = "qwen3"
WIDE_DECODER: dict[str, Any] = {"hidden_size": 256, "num_attention_heads": 4, "head_dim": 64, "intermediate_size": 512}
DOCUMENTS = [
    "a launch window to mars opens every 26 months",
    "ok",
    "The quick brown fox jumps over the lazy dog. " * 3,
    "la gripe causa fiebre",
    "open the sign-in page, choose forgot password, and follow the link",
    "",
]


def _bundle(architecture: str, bundles: Callable[[str], Bundle], folder: Path) -> Bundle:
    if architecture != DECODER:
        return bundles(architecture)
    source = write_decoder(folder / "source", "Qwen3", head="SequenceClassification", **WIDE_DECODER)
    scoring = ScoringOptions(template="query: {query} document: {document}")
    return export(ExportRequest(str(source), folder / "bundle", scoring=scoring)).bundle


def _scores(encoder: CrossEncoder, pairs: list[EncodedPair], bundle: Bundle, padded_to: int) -> list[float]:
    limits = batch_limits(length_multiple=padded_to)
    logits = encoder.score(collate(pairs, pad_id=bundle.manifest.pad_id, limits=limits))
    return [float(logit) for logit in logits]


@pytest.mark.parametrize("architecture", ["deberta-v2-wide", "modernbert-wide", "xlm-roberta-wide", DECODER])
def test_wide_models_run_in_int8(architecture: str, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """Equal to the bit: alone, in a batch of any order, and with more padding."""
    bundle = _bundle(architecture, bundles, tmp_path)
    encoder = CrossEncoder(
        graph_for(bundle, ENGINE, Cache(tmp_path / "cache")), ENGINE, output=bundle.manifest.output_form
    )
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=512, template=bundle.manifest.template)
    pairs = tokenizer.encode_documents(tokenizer.encode_query("which planets line up"), DOCUMENTS)
    multiple = default_limits(ENGINE).length_multiple
    alone = [_scores(encoder, [pair], bundle, multiple)[0] for pair in pairs]
    exact = _scores(CrossEncoder(bundle.graph, output=bundle.manifest.output_form), pairs, bundle, 1)
    for padded_to in (multiple, 5 * multiple, 9 * multiple):
        assert _scores(encoder, pairs[::-1], bundle, padded_to) == alone[::-1]
    assert 0 < np.abs(np.subtract(alone, exact)).mean() < 0.1
    assert np.corrcoef(alone, exact)[0, 1] > 0.95
