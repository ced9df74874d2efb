"""`rerank batch --ray local`: a real Ray cluster on this machine, with two actors."""

import os
import signal
from pathlib import Path

import orjson
import pytest
from ray.exceptions import RayError

from rerank_service.errors import OperatorError, SettingsInvalid
from rerank_service.models.model_options import ModelOptions
from rerank_service.ranking.request import RerankRequest
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.batch.ray_cluster import ActorPool, connected, plan_actors
from rerank_service.tools.batch.ray_job import errors_of_ray
from rerank_service.tools.batch.ray_scorer import ActorOptions, RayScorer
from support.batch_files import write_pairs
from support.limits import request_limits
from support.marked_processes import Started
from support.small import BOOM

_SECONDS = 240
_ON_RAY = ("--ray", "local", "--actors", "1", "--actor-cpus", "1")


def _command(model: Path, target: str, *options: str) -> list[str]:
    files = ["batch", "in.jsonl", target, "--model", str(model), "--score-type", "raw", "--part-pairs", "50"]
    return ["-m", "rerank_service", *files, *options]


def _finished(start: Started, *arguments: str) -> str:
    with start(*arguments) as process:
        output, errors = process.communicate(timeout=_SECONDS)
    assert process.returncode == 0, errors
    return output


@pytest.fixture
def expected(tmp_path: Path, small_folder: Path, start: Started) -> dict[str, bytes]:
    """Write an input with invalid rows, and return output and errors of a job without Ray."""
    write_pairs(tmp_path / "in.jsonl", 500)
    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write(b"{broken\n" * 120)  # two parts without a pair
        for document in ("1", f"2 {BOOM}", "3"):
            file.write(orjson.dumps({"query": "q", "documents": ["4", document]}) + b"\n")
    _finished(start, *_command(small_folder, "whole.jsonl"))
    return {kind: (tmp_path / f"whole.jsonl{kind}").read_bytes() for kind in ("", ".errors.jsonl")}


def _check(folder: Path, expected: dict[str, bytes]) -> None:
    for kind, content in expected.items():
        assert (folder / f"out.jsonl{kind}").read_bytes() == content


def test_ray_writes_the_same_bytes_and_continues(
    expected: dict[str, bytes], tmp_path: Path, small_folder: Path, start: Started
) -> None:
    """A job is killed without Ray, then twice on Ray, and finished on Ray. Errors are those of the job without Ray."""
    _finished_error = start(*_command(small_folder, "out.jsonl", "--strict"))
    _finished_error.communicate(timeout=_SECONDS)
    parts = tmp_path / "out.jsonl.parts"
    for moment, before, options in (
        ("000001.errors", "000001.part", ()),
        ("000003.done", "000003.errors", _ON_RAY),
        ("000008.part", "000007.done", _ON_RAY),
    ):
        os.mkfifo(parts / f"{moment}.new")  # the process waits there for a reader
        with start(*_command(small_folder, "out.jsonl", *options)) as process:
            while not (parts / before).exists():
                assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=_SECONDS)
        (parts / f"{moment}.new").unlink()
    _finished(start, *_command(small_folder, "out.jsonl", "--ray", "local", "--actor-cpus", "1"))
    _check(tmp_path, expected)


_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import ray
from rerank_service.errors import OperatorError
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import ScoreType
from rerank_service.settings import read_settings
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.job import Job
from rerank_service.tools.batch.ray_cluster import ActorPool, connected
from rerank_service.tools.batch.ray_job import score_on_ray
from rerank_service.tools.batch.ray_scorer import ActorOptions, RayScorer
from rerank_service.tools.batch.rows import Columns
from rerank_service.wiring import single_model_options, request_limits

settings = read_settings(model=Path(sys.argv[1]))
request = RerankRequest(query="unused", score_type=ScoreType.RAW)
options = ActorOptions(single_model_options(settings), request_limits(settings), request)
with connected("local"):
    rows = [{"id": at, "query": "q", "document": f"{at % 90} 1"} for at in range(300)] + [
        {"id": 300, "query": "q", "document": "boom"},
        {"id": 301, "query": "q", "document": None},
    ]
    scored = ray.data.from_items(rows).map_batches(
        RayScorer, fn_constructor_args=(options, 1), batch_size=64, num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=1),
    ).take_all()
    for row in scored:
        if row["id"] == 300:
            assert np.isnan(row["score"]) and row["error"] == "the model failed on the document", row
        elif row["id"] == 301:
            assert np.isnan(row["score"]) and row["error"] == "document must be a string, not null", row
        else:
            assert (row["score"], row["error"]) == (row["id"] % 90 + 1, ""), row
    assert len(scored) == 302
    Path("few.jsonl").write_text('{"query": "q", "document": "1"}\\n')
    source = JsonlFormat(Path("few.jsonl").absolute(), Columns(), sort=False, compress=False)
    job = Job(source=Path("few.jsonl"), file_format=source, part_pairs=10, strict=False)
    other = ActorOptions(options.model, options.limits, request, {"model": "other"})
    try:
        list(score_on_ray(other, ActorPool(1, 1), job, {}))
    except OperatorError as error:
        print("error:", error)
"""


def test_the_scorer_in_a_dataset_of_its_user(tmp_path: Path, small_folder: Path, start: Started) -> None:
    """`map_batches` with an actor pool adds the score. The error of a node with another model is one line."""
    (tmp_path / "script.py").write_text(_SCRIPT)
    output = _finished(start, "script.py", str(small_folder))
    assert "error: a node of the cluster has another model or engine: model was other, now small " in output


def test_an_actor_whose_model_is_broken_ends_the_job_as_without_ray() -> None:
    """So the message says that finished parts are kept."""
    error = RayError("Traceback\n  rerank_service.scheduling.nothing_scored.NothingScored: the model scores nothing")
    with pytest.raises(NothingScored, match=r"^the model scores nothing$"), errors_of_ray():
        raise error


def test_an_actor_rejects_another_model(small_folder: Path, tmp_path: Path) -> None:
    """The message names the difference."""
    options = ModelOptions(folder=small_folder, cache=tmp_path)
    identity = {"model": "other"}
    with pytest.raises(OperatorError, match="another model or engine: model was other, now small"):
        RayScorer(ActorOptions(options, request_limits(), RerankRequest(query="unused"), identity), 1)


@pytest.mark.parametrize(
    ("nodes", "actors", "cpus", "pool"),
    [
        ([8, 8], None, None, ActorPool(2, 8)),
        ([8, 4, 0], None, None, ActorPool(3, 4)),
        ([8, 6], None, 4, ActorPool(3, 4)),
        ([8], 1, 2, ActorPool(1, 2)),
    ],
)
def test_actors_fill_the_cluster(nodes: list[int], actors: int | None, cpus: int | None, pool: ActorPool) -> None:
    """By default as many as fit, each as large as the smallest node."""
    assert plan_actors(nodes, actors=actors, cpus=cpus) == pool


@pytest.mark.parametrize(
    ("nodes", "actors", "cpus", "words"),
    [
        ([0], None, None, "the cluster has no CPUs"),
        ([2, 4], None, 8, "is 8, and the largest node has 4 CPUs"),
        ([2, 4], 4, 2, "--actors is 4, and the cluster has room for 3 with 2 CPUs each"),
    ],
)
def test_actors_that_do_not_fit_are_rejected(
    nodes: list[int], actors: int | None, cpus: int | None, words: str
) -> None:
    """Ray would wait for them without end."""
    with pytest.raises(SettingsInvalid, match=words):
        plan_actors(nodes, actors=actors, cpus=cpus)


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_addresses_of_other_kinds_are_rejected(address: str) -> None:
    """The driver of the job must run on a node of the cluster. The message shows how."""
    with pytest.raises(SettingsInvalid, match="ray job submit"), connected(address):
        pass


def test_no_cluster_is_one_line(start: Started, small_folder: Path, tmp_path: Path) -> None:
    """`auto` finds no cluster on this machine."""
    (tmp_path / "in.jsonl").write_text('{"query": "q", "document": "1"}\n')
    with start(*_command(small_folder, "out.jsonl", "--ray", "auto")) as process:
        _, errors = process.communicate(timeout=_SECONDS)
    assert process.returncode == 1
    assert "rerank: --ray auto: no connection to a cluster: " in errors
    assert "Traceback" not in errors
