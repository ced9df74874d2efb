"""Jobs of `rerank batch` with a server whose model changes, or with servers of different models."""

import asyncio
from errno import ENOSPC
from pathlib import Path

import orjson
import pytest
from grpc import StatusCode

from rerank_service.__main__ import _main
from rerank_service.models.bundle import Bundle
from rerank_service.tools.batch.part_store import PartStore
from rerank_service.tools.batch.remote_scorer import RemoteScorer
from support.limited_server import limited_server
from support.limits import request_limits
from support.running import Served, running, served
from support.small import write_small_model

_ROWS = 8


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [orjson.dumps({"query": str(number), "document": str(number)}) for number in range(_ROWS)]
    Path("in.jsonl").write_bytes(b"\n".join(lines))


def _batch(address: str, part_pairs: int = 1) -> int:
    arguments = ["batch", "in.jsonl", "out.jsonl", "--server", address, "--score-type", "raw"]
    return _main([*arguments, "--part-pairs", str(part_pairs)])


def _saved_parts() -> list[str]:
    return [path.name for path in Path("out.jsonl.parts").glob("*.done")]


def _end_before_the_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full when all parts are finished."""

    def fail(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(PartStore, "join", fail)


def test_a_job_never_has_scores_of_two_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """The model gets another version during the job, which ends with the difference. With the first version again, the
    job continues, and scores each row with it."""
    with limited_server() as server:
        server.digest_after = {6: "v2"}
        assert _batch(server.address) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("rerank: the server has changed since the job began: model was docs v1, now docs v2. ")
        assert not Path("out.jsonl").exists()
        assert Path("out.jsonl.parts/000000.done").exists()
        server.digest, server.digest_after = "v1", {}
        assert _batch(server.address) == 0
    rows = map(orjson.loads, Path("out.jsonl").read_bytes().splitlines())
    assert [row["score"] for row in rows] == list(range(_ROWS))


def test_the_same_command_continues_a_job_whose_first_request_loads_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The identity of the job has the engine from the start."""
    with limited_server() as server:
        server.digest_after = {5: "v2"}
        assert _batch(server.address) == 1
        server.calls.clear()  # the server was started again
        server.digest, server.digest_after = "v1", {}
        assert _batch(server.address) == 0, capsys.readouterr().err


def test_a_job_that_only_has_to_join_its_parts_needs_no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full in the first run, and the server is broken in the second one."""
    with limited_server() as server:
        with monkeypatch.context() as patch:
            _end_before_the_join(patch)
            assert _batch(server.address) == 1
        assert len(_saved_parts()) == _ROWS
        server.broken = StatusCode.INTERNAL
        assert _batch(server.address) == 0
    assert len(Path("out.jsonl").read_bytes().splitlines()) == _ROWS


def test_a_part_never_has_scores_of_two_replicas(capsys: pytest.CaptureFixture[str]) -> None:
    """One of the requests is answered by a replica with another version. The server that is asked for its model has the
    first version."""
    with limited_server() as server:
        server.for_replica = {5}
        assert _batch(server.address, part_pairs=_ROWS) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("rerank: the server has changed since the job began: model was docs v1, now docs v2. ")
    assert _saved_parts() == []


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ({"document_tokens": 16}, "tokens read of a document was 8192, now 16"),
        ({"window_tokens": 32}, "tokens of a window was the default of the model, now 32"),
        ({"max_query_chars": 9}, "longest query was 100000 characters, now 9 characters"),
        ({"max_document_chars": 9}, "longest document was 1000000 characters, now 9 characters"),
    ],
)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_job_does_not_continue_with_another_reading_of_texts(
    small_model: Bundle,
    protocol: str,
    limit: dict[str, int],
    change: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server was started again with another limit. With the first one, the job continues."""

    async def job(**changes: int) -> int:
        async with running(small_model, limits=request_limits(**changes)) as core, served(core) as edges:
            address = edges.address if protocol == "grpc" else str(edges.http.base_url)
            return await asyncio.to_thread(_batch, address)

    with monkeypatch.context() as patch:
        _end_before_the_join(patch)
        assert await job() == 1
    assert await job(**limit) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"rerank: out.jsonl.parts has the parts of another job: {change}: ")
    assert len(_saved_parts()) == _ROWS
    assert await job() == 0


async def test_a_job_with_replicas_of_different_models_saves_no_part(
    small_model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replica holds one document and rejects more, so that both of them score some."""
    monkeypatch.setattr(RemoteScorer, "check_options", lambda _: None)  # it would be held by one of them
    other = write_small_model(tmp_path / "other", weights_beside=True)
    async with (
        running(small_model, max_live_documents=1) as first,
        running(other, max_live_documents=1) as second,
        served(first) as first_edges,
        served(second) as second_edges,
    ):
        for core in (first, second):
            core.score.hold()
        address = f"ipv4:{first_edges.address},{second_edges.address}"
        job = asyncio.create_task(asyncio.to_thread(_batch, address, part_pairs=_ROWS))
        for core in (first, second):
            await core.score.started()
        for core in (first, second):
            core.score.release()
        assert await job == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("rerank: the server has changed since the job began: model was small ")
    assert _saved_parts() == []


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_options_that_the_server_rejects_end_the_job_at_its_start(
    edges: Served, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows would otherwise be listed as errors, each after requests of its own."""
    address = edges.address if protocol == "grpc" else str(edges.http.base_url)
    command = ["batch", "in.jsonl", "out.jsonl", "--server", address, "--score-type", "calibrated"]
    assert await asyncio.to_thread(_main, command) == 1
    assert "this model has no calibration" in capsys.readouterr().err.splitlines()[-1]
    assert _saved_parts() == []
    assert not edges.core.score.batches
