"""Model folders that an earlier version served have the same scores in this one."""

import shutil
from pathlib import Path
from typing import Any

from rerank_service.models.bundle import NOT_VERIFIED, Bundle, open_bundle
from rerank_service.models.files import CONFIG, GRAPH, TOKENIZER, WEIGHTS
from support.running import running
from upgrade.comparison import differences
from upgrade.recorded import BUNDLE, RESPONSES
from upgrade.recorder.rest_calls import DOCUMENTS, QUERY


async def _results(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the results of a ranking as the fixtures have them."""
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS)
        return [{"index": one.index, "relevance_score": one.relevance_score, "logit": one.logit} for one in ranking]


def _recorded(responses: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a recorded gRPC response. Its JSON leaves out the index 0."""
    return [{"index": 0} | result for result in responses["response"]["results"]]


async def test_bundle_has_the_same_scores() -> None:
    """Its weights are stored in fp16, beside the graph."""
    assert not list(differences(_recorded(RESPONSES["grpc"]["texts"]), await _results(open_bundle(BUNDLE))))


async def test_hub_folder_has_the_same_scores(tmp_path: Path) -> None:
    """A folder without a manifest."""
    for name in (GRAPH, WEIGHTS, TOKENIZER, CONFIG):
        shutil.copyfile(BUNDLE / name, tmp_path / name)
    assert not list(differences(_recorded(RESPONSES["hub folder"]), await _results(open_bundle(tmp_path))))


def test_bundle_keeps_its_digest() -> None:
    """Operators pin it with --model-digest, so this value never changes. It is not the one that version 0.1.0 showed:
    that one covered the report, too."""
    bundle = open_bundle(BUNDLE)
    assert bundle.digest == "e1c906459a3d36c2c52361f2dac0c2e5ad5f112de7f7c94c2603af4b1f01d740"
    assert bundle.verdict == NOT_VERIFIED
