"""Score types over gRPC and REST, with and without a calibration. Covers scores, calibration_curve and both APIs."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import InvalidRequest
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.ranking.calibration_curve import Calibration, Isotonic, Platt, sigmoid
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation, ScoreType, rank, relevance
from support.running import Served, running, served

STEPS = Calibration(meaning="probability", curve=Isotonic(logits=(2, 3, 50, 60), values=(0.25, 0.5, 0.5, 0.75)))


@pytest.fixture
async def calibrated(small_model: Bundle, tmp_path: Path) -> AsyncIterator[Served]:
    """Serve a calibrated bundle over gRPC and REST."""
    folder = Path(shutil.copytree(small_model.folder, tmp_path / "small"))
    bundle = write_manifest(folder, small_model.manifest.model_copy(update={"calibration": STEPS}))
    async with running(bundle) as core, served(core) as edges:
        yield edges


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UNSPECIFIED", [0.75, 0.5, 0.5]),
        ("PROBABILITY", [0.75, 0.5, 0.5]),
        ("CALIBRATED", [0.75, 0.5, 0.5]),
        ("SIGMOID", sigmoid(np.array([70.0, 40.0, 30.0])).tolist()),
        ("RAW", [70.0, 40.0, 30.0]),
    ],
)
async def test_request_chooses_its_score_type(calibrated: Served, name: str, expected: list[float]) -> None:
    """The order and the logits stay the same. JSON uses the same names in lower case."""
    documents = ["30", "70", "40"]
    response = await calibrated.client.rerank("0", documents, score_type=pb.ScoreType.Value(f"SCORE_TYPE_{name}"))
    assert [result.relevance_score for result in response.results] == expected
    assert [result.logit for result in response.results] == [70, 40, 30]
    body = {"query": "0", "documents": documents, "score_type": None if name == "UNSPECIFIED" else name.lower()}
    rest_response = (await calibrated.http.post("/v2/rerank", json={**body, "raw_scores": name == "RAW"})).json()
    assert [result["relevance_score"] for result in rest_response["results"]] == expected


async def test_min_score_uses_the_score_type_of_the_request(calibrated: Served) -> None:
    """By default the calibrated one."""
    response = await calibrated.client.rerank("0", ["1", "4", "70"], min_score=0.5)
    assert [result.index for result in response.results] == [2, 1]


async def test_model_reports_its_calibration(calibrated: Served, edges: Served) -> None:
    """Empty without a calibration."""
    for served_edges, expected in ((calibrated, "isotonic, probability"), (edges, "")):
        [model] = await served_edges.client.models()
        assert model.calibration == expected
        listed = (await served_edges.http.get("/v1/models")).json()
        assert listed["data"][0]["calibration"] == expected


async def test_calibrated_scores_are_rejected_without_a_calibration(edges: Served) -> None:
    """Over gRPC and REST, with the name of the field. All other score types work."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edges.client.rerank("0", ["1"], score_type=pb.SCORE_TYPE_CALIBRATED)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "this model has no calibration" in (caught.value.details() or "")
    response = await edges.http.post("/v2/rerank", json={"query": "0", "documents": ["1"], "score_type": "calibrated"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "score_type")
    with pytest.raises(grpc.aio.AioRpcError, match="score_type"):
        await edges.client.rerank_stream("0", ["1"], score_type=pb.SCORE_TYPE_CALIBRATED)
    sigmoids = await edges.client.rerank("0", ["1"], score_type=pb.SCORE_TYPE_SIGMOID)
    assert sigmoids.results[0].relevance_score == pytest.approx(0.7310585786300049)
    assert edges.core.idle()


async def test_unknown_score_type_is_rejected(edges: Served) -> None:
    """The error lists the known ones."""
    response = await edges.http.post("/v2/rerank", json={"query": "0", "documents": ["1"], "score_type": "logit"})
    assert response.status_code == 400
    assert "'raw'" in response.json()["message"]


LOGITS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60)
PLATT = Calibration(meaning="grade", curve=Platt(slope=0.01, intercept=-2))


@given(LOGITS, st.sampled_from([STEPS, PLATT, None]), st.sampled_from(ScoreType))
def test_no_score_type_changes_the_order(
    logits: list[float], calibration: Calibration | None, score_type: ScoreType
) -> None:
    """Constant parts of a curve and saturation flatten scores; documents stay in the order of their logits."""
    array = np.array(logits, np.float32)
    if calibration is None and score_type is ScoreType.CALIBRATED:
        return
    scores = relevance(array, Activation.SIGMOID, score_type, calibration)
    order = rank(array)
    assert order.tolist() == sorted(range(len(logits)), key=lambda at: -logits[at])
    assert (np.diff(scores[order]) <= 0).all()


def test_calibration_replaces_the_activation() -> None:
    """Also for a model that returns probabilities."""
    outputs = np.array([0.25, 0.75], np.float32)
    assert relevance(outputs, Activation.IDENTITY, ScoreType.SIGMOID, STEPS).tolist() == [0.25, 0.75]
    assert relevance(outputs, Activation.IDENTITY, ScoreType.PROBABILITY, STEPS).tolist() == [0.25, 0.25]


def test_board_rejects_an_unavailable_score_type() -> None:
    """Before any document is read."""
    with pytest.raises(InvalidRequest, match="score_type"):
        Scoreboard(RerankRequest(query="q", score_type=ScoreType.CALIBRATED), Activation.SIGMOID)
