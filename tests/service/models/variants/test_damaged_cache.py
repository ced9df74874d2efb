"""Damaged entries of the cache: each is made again, and nobody reads its content."""

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rerank_service.engine.kinds import CPU_FP32
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.record import EngineMeasurement, TuningRecord
from rerank_service.models.tuning.startup import EngineRequest, select, tuning_key
from rerank_service.models.variants.cache import Cache
from support.damage import Damage, damages

_FILES = ("model.onnx", "model.onnx.data", "digests.json")
_ENGINE: dict[str, Any] = {"provider": CPU_FP32.provider, "precision": CPU_FP32.precision}
_RECORD = TuningRecord(
    form="full",
    **_ENGINE,
    lanes=3,
    max_batch_tokens=777,
    cost=(1e-4, 2e-6, 3e-9),
    trials=(
        EngineMeasurement(
            provider=CPU_FP32.provider, precision=CPU_FP32.precision, tokens_per_second=9.5, verdict="exact"
        ),
    ),
)


def _make(path: Path) -> None:
    path.write_bytes(b"graph" * 9)
    Path(f"{path}.data").write_bytes(b"weights" * 9)


@given(st.sampled_from(_FILES), damages)
def test_damaged_graph_is_made_again(tmp_path_factory: pytest.TempPathFactory, name: str, damage: Damage) -> None:
    """One flipped bit is enough. The log has the path."""
    folder = tmp_path_factory.mktemp("cache")
    path = Cache(folder).graph("a", _make)
    assert path is not None
    content = path.with_name(name).read_bytes()
    path.with_name(name).write_bytes(damage(content))
    with capture_logs() as logs:
        assert Cache(folder).graph("a", _make) == path
    assert path.read_bytes() == b"graph" * 9
    assert Path(f"{path}.data").read_bytes() == b"weights" * 9
    if damage(content) != content and name != "digests.json":
        assert [(line["event"], line["path"]) for line in logs] == [("cache entry is damaged", str(path.parent))]


@given(damages)
def test_damaged_tuning_is_ignored(
    small_model: Bundle, tmp_path_factory: pytest.TempPathFactory, damage: Damage
) -> None:
    """The start uses the safe default, and tunes again. A changed digit would be a wrong forecast."""
    folder = tmp_path_factory.mktemp("cache")
    key = tuning_key(small_model, EngineRequest())
    assert Cache(folder).store_tuning(key, _RECORD.model_dump(mode="json"))
    assert select(small_model, EngineRequest(), Cache(folder)).tuned == _RECORD
    path = folder / "tuning" / f"{key}.json"
    damaged = damage(path.read_bytes())
    assume(damaged != path.read_bytes())
    path.write_bytes(damaged)
    assert select(small_model, EngineRequest(), Cache(folder)).tuned in (None, _RECORD)
    assert Cache(folder).store_tuning(key, _RECORD.model_dump(mode="json"))
    assert Cache(folder).tuning(key) == _RECORD.model_dump(mode="json")


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_entry_of_another_kind_is_replaced(tmp_path: Path, kind: str) -> None:
    """A file in the place of a folder, a folder in the place of a file, and a link to nothing."""
    cache, names = Cache(tmp_path), ("graphs/a", "tuning/a.json")
    for path in (tmp_path / name for name in names):
        path.parent.mkdir()
        if kind == "folder":
            (path / "inner").mkdir(parents=True)
        elif kind == "file":
            path.write_text("")
        else:
            path.symlink_to("nowhere")
    graph = cache.graph("a", _make)
    assert graph is not None
    assert graph.read_bytes() == b"graph" * 9
    assert cache.tuning("a") is None
    assert cache.store_tuning("a", {"lanes": 1})
    assert cache.tuning("a") == {"lanes": 1}


def test_damaged_entry_that_another_process_repairs_meanwhile_stays(tmp_path: Path) -> None:
    """One process at a time replaces it."""
    cache, made = Cache(tmp_path), threading.Event()
    path = cache.graph("a", _make)
    assert path is not None
    path.write_bytes(b"damaged")

    def slow(graph: Path) -> None:
        _make(graph)
        made.set()

    lock = os.open(tmp_path / "graphs", os.O_RDONLY)
    with ThreadPoolExecutor(1) as threads:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the other process, which has made its copy
        repair = threads.submit(cache.graph, "a", slow)
        assert made.wait(10)
        path.write_bytes(b"graph" * 9)
        entry = path.parent.stat().st_ino
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert repair.result() == path
    os.close(lock)
    assert path.parent.stat().st_ino == entry
