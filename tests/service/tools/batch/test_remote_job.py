"""Jobs of `rerank batch` with a server whose model changes."""

from pathlib import Path

import orjson
import pytest

from rerank_service.__main__ import _main
from support.limited_server import limited_server

_ROWS = 8


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [orjson.dumps({"query": str(number), "document": str(number)}) for number in range(_ROWS)]
    Path("in.jsonl").write_bytes(b"\n".join(lines))


def _batch(address: str) -> int:
    return _main(["batch", "in.jsonl", "out.jsonl", "--server", address, "--score-type", "raw", "--part-pairs", "1"])


def test_a_job_never_has_scores_of_two_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """The model gets another version during the job, which ends with the difference. With the first version again, the
    job continues, and scores each row with it."""
    with limited_server() as server:
        server.digest_after = {5: "v2"}
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
