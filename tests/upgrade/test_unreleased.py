"""Formats that no release has yet, frozen when they were written: models file, key file, and a calibrated bundle."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rerank_service.api.api_keys_file import read_keys
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.models.bundle import open_bundle
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.catalog.reading import read_catalog
from rerank_service.models.golden_check import check_golden
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits
from support.running import running

_FOLDER = Path(__file__).parent / "fixtures" / "unreleased"
_DIGEST = "f7d1f63acfba30122dc0c03db6528b8c3f335cafa755701e6482a81e029a9480"


def test_models_file_is_read() -> None:
    """Each field."""
    fast, later = read_catalog(_FOLDER / "models.yaml")
    assert fast == ModelEntry(
        folder=_FOLDER / "bundle",
        place="models.yaml, line 1",
        name="fast",
        aliases=("small", "ms-marco"),
        provider=Provider.CPU,
        precision=Precision.FP32,
        lanes=2,
        weight=3.0,
        max_live_documents=20_000,
        max_live_tokens=5_000_000,
        digest=_DIGEST,
    )
    assert (later.name, later.load, later.unload_after) == ("later", Load.ON_DEMAND, 600.0)


def test_key_file_is_read() -> None:
    """Each field."""
    search, batch, operator = read_keys(_FOLDER / "keys.yaml")
    assert search.digest == hashlib.sha256(b"4c1f2d3e9a70b586").digest()
    assert search.caller == Caller("search", 3.0)
    assert batch.digest.hex() == "7a80d1f9eec5e0b26b8b8b6c83d0b9a4f5fd4a7d2a4b5d8f2f9b6d0c9d3e1f42"
    assert batch.caller == Caller("nightly-batch", 0.5, frozenset({"small"}))
    assert batch.limits == KeyLimits(requests_per_second=20.0, tokens_per_minute=2_000_000, concurrent_requests=4)
    assert batch.expires == datetime(2027, 1, 31, 23, 59, 59, 999_999, UTC)
    assert replace(operator.caller, admin=False) == Caller("operator")
    assert operator.caller.admin


def test_bundle_keeps_its_digests_and_passes_its_golden_pairs(tmp_path: Path) -> None:
    """The digest is pinned by operators, and derived graphs are cached under the digest of the logits."""
    bundle = open_bundle(_FOLDER / "bundle")
    assert (bundle.digest, bundle.verdict) == (_DIGEST, "passed")
    assert bundle.logits_digest == "d70b16893d6061afc3c87cfe4f69f046446c39a5536a5b255e9167e2890eef18"
    assert check_golden(load_selected(ModelOptions(folder=bundle.folder, cache=tmp_path))) == 0.0


async def test_calibrated_scores_are_the_same() -> None:
    """Before, between and after the knots of the curve."""
    async with running(open_bundle(_FOLDER / "bundle")) as core:
        ranking = await core.rank("q", "0", "2", "4", "12", "99")
        scores = {one.index: one.relevance_score for one in ranking}
    assert scores == pytest.approx({0: 0.05, 1: 0.275, 2: 0.5, 3: 0.7, 4: 0.9}, abs=1e-6)
