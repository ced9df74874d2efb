"""Documents of 8,000 tokens, scored over gRPC."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_service.models.bundle import Bundle
from support.architectures import LONG as LONG_FAMILIES
from support.decoders import write_decoder
from support.running import running, served

LONG = "mars " * 20_000


def _logit(folder: Path, bundle: Bundle, query: str, document: str) -> float:
    """Compute a pair's logit with transformers, tokenized and cut to the window by the server's tokenizer."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from rerank_service.encoding.tokenizer import PairTokenizer

    manifest = bundle.manifest
    pairs = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    (pair,) = pairs.encode_documents(pairs.encode_query(query), [document])
    ids = torch.tensor([[*pair.head.ids, *pair.document, *pair.tail.ids]])
    assert ids.shape[1] == 8192
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logit: float = model(ids, attention_mask=torch.ones_like(ids)).logits.item()
    return logit


@pytest.fixture
def long_decoder(tmp_path: Path) -> Path:
    """The folder of a Qwen3 with 8,192 positions."""
    size: dict[str, Any] = {"max_position_embeddings": 8192, "num_attention_heads": 1, "num_key_value_heads": 1}
    folder = write_decoder(tmp_path / "Qwen3-Reranker-0.6B", "Qwen3", head="SequenceClassification", **size)
    (folder / "tokenizer_config.json").write_text(
        (folder / "tokenizer_config.json").read_text().replace('"model_max_length": 1024', '"model_max_length": 8192')
    )
    return folder


@pytest.mark.parametrize("family", LONG_FAMILIES)
async def test_document_of_8000_tokens_is_scored_like_in_torch(
    family: str, sources: Callable[[str], Path], long_decoder: Path, tmp_path: Path
) -> None:
    """The whole window is used, and the rest of the document is cut."""
    folder = long_decoder if family == "qwen3" else sources(family)
    bundle = export(ExportRequest(str(folder), tmp_path / "out")).bundle
    assert bundle.manifest.max_tokens == 8192
    async with running(bundle) as core, served(core) as edges:
        response = await edges.client.rerank("which planet", ["venus", LONG], too_long=pb.TOO_LONG_CUT)
    scored = {result.index: result for result in response.results}
    assert (scored[0].truncated, scored[1].truncated) == (False, True)
    assert scored[1].logit == pytest.approx(_logit(folder, bundle, "which planet", LONG), abs=2e-5)
