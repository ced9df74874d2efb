"""`rerank batch` as a process: it is killed at several moments, and continues."""

import gzip
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.batch_files import write_pairs
from support.commands import rerank, start_rerank
from support.small import logit

_ROWS = 7_000
_PARTS = 24


def _batch(folder: Path, source: Path, target: str, *options: str) -> list[str]:
    return [
        "batch",
        str(source),
        target,
        "--model",
        str(folder),
        "--score-type",
        "raw",
        "--part-pairs",
        "500",
        *options,
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an input with a broken row in every tenth part."""
    path = tmp_path_factory.mktemp("batch") / "in.jsonl"
    write_pairs(path, _ROWS)
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(100, len(lines), 1001):
        lines[at] = b"{broken\n"
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def expected(source: Path, small_folder: Path) -> dict[str, bytes]:
    """Return the output and the errors of a job that was not interrupted."""
    folder = source.parent
    done = rerank(*_batch(small_folder, source, "whole.jsonl"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return {kind: (folder / f"whole.jsonl{kind}").read_bytes() for kind in ("", ".errors.jsonl")}


def test_scores_are_those_of_the_model(source: Path, expected: dict[str, bytes]) -> None:
    """Each row is in the output or in the errors, in the order of the input."""
    rows = [orjson.loads(line) for line in expected[""].splitlines()]
    errors = [orjson.loads(line)["line"] - 1 for line in expected[".errors.jsonl"].splitlines()]
    assert [row["id"] for row in rows] == sorted(set(range(_ROWS)) - set(errors))
    assert errors == list(range(100, _ROWS, 1001))
    for row in rows:
        if "documents" in row:
            assert row["scores"] == [logit(document) for document in row["documents"]]
        else:
            assert row["score"] == logit(row["document"])


_MOMENTS = (
    ("000000.errors", "000000.part"),
    ("000004.done", "000004.errors"),
    ("000021.part", "000020.done"),
    ("joined", f"{_PARTS - 1:06}.done"),
)
"""Files that are not written, each with the file that the job writes before it."""


@pytest.mark.timeout(600)  # six processes, one after the other: slow on a busy machine
@pytest.mark.parametrize(
    ("stop", "moments"), [(signal.SIGKILL, _MOMENTS), (signal.SIGTERM, _MOMENTS[2:]), (signal.SIGINT, _MOMENTS[2:])]
)
def test_a_killed_job_continues_to_the_same_bytes(
    source: Path,
    expected: dict[str, bytes],
    small_folder: Path,
    tmp_path: Path,
    stop: signal.Signals,
    moments: tuple[tuple[str, str], ...],
) -> None:
    """Several processes of one job are killed, each while it writes another file. Finished parts are kept."""
    command = _batch(small_folder, source, "out.jsonl")
    _start_strict(command, tmp_path)
    for moment, before in moments:
        status = _killed_at(tmp_path / "out.jsonl.parts", moment, before, command, stop)
        assert status == -stop or (stop is signal.SIGINT and status == 130)
        assert not (tmp_path / "out.jsonl").exists()
    finished = [orjson.loads(path.read_bytes()) for path in (tmp_path / "out.jsonl.parts").glob("*.done")]
    assert len(finished) == _PARTS
    done = rerank(*_batch(small_folder, source, "out.jsonl"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (pairs, now) = (int(text.replace(",", "")) for text in re.findall(r"([0-9,]+) pairs (?:of|in)", done.stdout))
    assert (now, pairs) == (0, sum(part["pairs"] for part in finished))  # nothing is scored twice
    assert (tmp_path / "out.jsonl").read_bytes() == expected[""]
    assert (tmp_path / "out.jsonl.errors.jsonl").read_bytes() == expected[".errors.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.errors.jsonl"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl.gz"])
def test_every_format_continues_to_the_same_bytes(kind: str, small_folder: Path, tmp_path: Path) -> None:
    """After a kill in the middle."""
    _write_table(tmp_path / f"in.{kind}")
    outputs = []
    for name in ("whole", "killed"):
        command = _batch(small_folder, tmp_path / f"in.{kind}", f"{name}.{kind}")
        if name == "killed":
            _start_strict(command, tmp_path)
            _killed_at(tmp_path / f"{name}.{kind}.parts", "000003.part", "000002.done", command, signal.SIGKILL)
        done = rerank(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        outputs.append((tmp_path / f"{name}.{kind}").read_bytes())
    assert outputs[0] == outputs[1]


def _write_table(path: Path) -> None:
    columns = {"query": ["q", "q", "", *["q"] * (_ROWS - 3)], "document": [str(at % 90) for at in range(_ROWS)]}
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=5000)
    elif path.suffix == ".csv":
        path.write_text("query,document\n" + "".join(map("{},{}\n".format, *columns.values())))
    else:
        lines = [orjson.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
        path.write_bytes(gzip.compress(b"\n".join(lines)))


def _start_strict(command: list[str], folder: Path) -> None:
    """Start the job, and let it end at a broken row of its first part: its folder exists, with no finished part."""
    assert rerank(*command, "--strict", cwd=folder).returncode == 1


def _killed_at(parts: Path, moment: str, before: str, command: list[str], stop: signal.Signals) -> int:
    """Run the job until it writes a file, end it by a signal, and return its exit status.

    The file is a named pipe. The process waits there for a reader, so it cannot go on before the signal.

    Python handles SIGINT between two operations. A signal that arrives when `open` has begun, but not its system call
    (other threads hold the lock of the interpreter), would wait for the end of `open`. So the signal is repeated. A
    second SIGINT that arrives while the interpreter ends is not handled any more, and kills it: the status is then -2.
    """
    pipe = parts / f"{moment}.new"
    os.mkfifo(pipe)
    with start_rerank(*command, cwd=parts.parent) as process:
        while not (parts / before).exists():
            assert process.poll() is None, process.communicate()
        process.send_signal(stop)
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            process.send_signal(stop)
    pipe.unlink()
    return process.returncode
