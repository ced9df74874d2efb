"""Answers say what their scores mean: in `meta`, in the gRPC response, and in a header."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tei_client.stubs import tei_pb2_grpc as tei_grpc

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.ranking_headers import SCORE_TYPE_HEADER
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.ranking.calibration_curve import Calibration, Isotonic
from rerank_service.ranking.scores import Activation, ScoreType, score_meaning
from support.http import post
from support.running import Served, running, served
from support.tei_calls import stream_request, unary_request

STEPS = Calibration(meaning="probability", curve=Isotonic(logits=(2, 3), values=(0.25, 0.5)))
BODY = {"query": "0", "documents": ["1", "2"]}


@pytest.fixture(params=["plain", "calibrated"])
async def answers(
    request: pytest.FixtureRequest, small_model: Bundle, tmp_path: Path
) -> AsyncIterator[tuple[Served, str]]:
    """Yield servers, and the meaning of their default scores."""
    bundle, meaning = small_model, "sigmoid"
    if request.param == "calibrated":
        folder = Path(shutil.copytree(small_model.folder, tmp_path / "small"))
        bundle = write_manifest(folder, small_model.manifest.model_copy(update={"calibration": STEPS}))
        meaning = "calibrated"
    async with running(bundle) as core, served(core) as edges:
        yield edges, meaning


@pytest.mark.parametrize(
    ("activation", "sent", "calibration", "meaning"),
    [
        (Activation.SIGMOID, ScoreType.PROBABILITY, None, ScoreType.SIGMOID),
        (Activation.SIGMOID, ScoreType.PROBABILITY, STEPS, ScoreType.CALIBRATED),
        (Activation.SIGMOID, ScoreType.SIGMOID, STEPS, ScoreType.SIGMOID),
        (Activation.SIGMOID, ScoreType.RAW, STEPS, ScoreType.RAW),
        (Activation.IDENTITY, ScoreType.PROBABILITY, None, ScoreType.RAW),
        (Activation.IDENTITY, ScoreType.SIGMOID, STEPS, ScoreType.RAW),
        (Activation.IDENTITY, ScoreType.CALIBRATED, STEPS, ScoreType.CALIBRATED),
    ],
)
def test_meaning_of_scores(
    activation: Activation, sent: ScoreType, calibration: Calibration | None, meaning: ScoreType
) -> None:
    """`probability` is a wish; the meaning is what the model has."""
    assert score_meaning(activation, sent, calibration) is meaning


async def test_rest_answers_have_the_type(answers: tuple[Served, str]) -> None:
    """In `meta` and in the header, for the default and for logits."""
    edges, meaning = answers
    for options, expected in (({}, meaning), ({"raw_scores": True}, "raw"), ({"score_type": "sigmoid"}, "sigmoid")):
        response = await post(edges, BODY | options)
        assert response.json()["meta"]["score_type"] == response.headers[SCORE_TYPE_HEADER] == expected


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda dialect: type(dialect).__name__)
async def test_every_dialect_has_the_header(answers: tuple[Served, str], dialect: object) -> None:
    """A list, or the object of NVIDIA, has no place for a field."""
    edges, meaning = answers
    response = await post(edges, {**dialect.example, "model": ""}, dialect.paths[0])  # type: ignore[attr-defined]
    assert response.status_code == 200
    assert response.headers[SCORE_TYPE_HEADER] in (meaning, "raw")  # NVIDIA's scores are logits
    assert SCORE_TYPE_HEADER not in (await post(edges, {"query": "0"}, dialect.paths[0])).headers  # type: ignore[attr-defined]


async def test_grpc_responses_have_the_type(answers: tuple[Served, str]) -> None:
    """Unary and stream."""
    edges, meaning = answers
    raw = {"score_type": pb.SCORE_TYPE_RAW}
    for call in (edges.client.rerank, edges.client.rerank_stream):
        assert (await call("0", ["1", "2"])).score_type == pb.ScoreType.Value(f"SCORE_TYPE_{meaning.upper()}")
        assert (await call("0", ["1", "2"], **raw)).score_type == pb.SCORE_TYPE_RAW  # type: ignore[arg-type]


async def test_tei_calls_have_the_type_as_metadata(answers: tuple[Served, str]) -> None:
    """TEI's messages have no field for it."""
    edges, meaning = answers
    async with grpc.aio.insecure_channel(edges.address) as channel:
        stub = tei_grpc.RerankStub(channel)
        unary = stub.Rerank(unary_request(["1", "2"]))
        stream = stub.RerankStream(iter([stream_request("1", raw_scores=True)]))
        for call, expected in ((unary, meaning), (stream, "raw")):
            await call
            assert dict(await call.initial_metadata())[SCORE_TYPE_HEADER] == expected
