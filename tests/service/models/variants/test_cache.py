"""The cache of derived graphs and tunings: entries are complete, and the server works without it."""

import json
from pathlib import Path

import pytest

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.engine_loader import EngineLoader, EngineNotLoaded
from rerank_service.models.variants import derive
from rerank_service.models.variants.cache import Cache, key
from rerank_service.models.variants.derive import graph_for
from support.broken_process import small_files

INT8 = Engine(Provider.CPU, Precision.INT8)


class _Maker:
    def __init__(self, content: bytes = b"graph") -> None:
        self.made = 0
        self._content = content

    def __call__(self, path: Path) -> None:
        self.made += 1
        path.write_bytes(self._content)
        Path(f"{path}.data").write_bytes(b"weights")


def test_graph_is_made_once(tmp_path: Path) -> None:
    """The next start finds it."""
    make = _Maker()
    first, second = Cache(tmp_path).graph("a", make), Cache(tmp_path).graph("a", make)
    assert first == second
    assert (make.made, first is not None and first.read_bytes()) == (1, b"graph")


@pytest.mark.parametrize("damage", ["altered", "missing", "additional", "no digests", "invalid digests"])
def test_incomplete_graph_is_made_again(tmp_path: Path, damage: str) -> None:
    """For example after a full disk, or a change by another program."""
    make = _Maker()
    path = Cache(tmp_path).graph("a", make)
    assert path is not None
    if damage == "altered":
        path.write_bytes(b"another")
    elif damage == "missing":
        Path(f"{path}.data").unlink()
    elif damage == "additional":
        (path.parent / "more").write_bytes(b"")
    elif damage == "no digests":
        (path.parent / "digests.json").unlink()
    else:
        (path.parent / "digests.json").write_text("[]")
    again = Cache(tmp_path).graph("a", make)
    assert (make.made, again is not None and again.read_bytes()) == (2, b"graph")


def test_failed_write_leaves_no_files(tmp_path: Path) -> None:
    """The graph was partly written."""

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    assert Cache(tmp_path).graph("a", fail) is None
    assert list((tmp_path / "graphs").iterdir()) == []


def test_a_full_disk_leaves_no_files(tmp_path: Path) -> None:
    """Of a graph and of a tuning. The next start, with room, writes both."""
    make, cache = _Maker(b"g" * 2**21), Cache(tmp_path)
    with small_files(2**20):
        assert cache.graph("a", make) is None
        assert not cache.store_tuning("b", {"long": "x" * 2**21})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.graph("a", make) is not None
    assert cache.store_tuning("b", {"long": "x" * 2**21})


def test_unwritable_cache_is_not_an_error(tmp_path: Path, starter: Bundle) -> None:
    """The graph is derived in memory."""
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    graph = graph_for(starter, INT8, cache)
    assert isinstance(graph, bytes)
    assert CrossEncoder(graph, INT8).engine == INT8
    assert not cache.store_tuning("a", {"some": "thing"})
    assert cache.tuning("a") is None


def test_large_graph_without_a_cache_is_an_error(
    tmp_path: Path, starter: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """protobuf rejects 2 GiB. A later tuning tries it again, because the cache may be written then."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(derive, "_MAX_WEIGHTS_IN_MEMORY", 2**20)
    loader = EngineLoader(
        starter, Cache(tmp_path / "file" / "cache"), lanes=1, memory_check=lambda _: None, check=lambda *_: None
    )
    with pytest.raises(EngineNotLoaded, match="the graph for cpu int8 has more than 2 GiB and needs a cache") as caught:
        loader.score_of(INT8)
    assert isinstance(caught.value.__cause__, BundleInvalid)
    assert caught.value.skipped.transient


def test_derived_graph_is_loaded_from_the_cache(tmp_path: Path, starter: Bundle) -> None:
    """fp32 needs no derived graph."""
    cache = Cache(tmp_path)
    assert graph_for(starter, CPU_FP32, cache) == starter.graph
    graph = graph_for(starter, INT8, cache)
    assert isinstance(graph, Path)
    assert graph_for(starter, INT8, cache) == graph
    assert CrossEncoder(graph, INT8).provider == "CPUExecutionProvider"


def test_model_without_products_has_no_int8_graph(tmp_path: Path, small_model: Bundle) -> None:
    """The error is raised, and fp32 is not served instead."""
    with pytest.raises(BundleInvalid, match="no product with constant weights"):
        graph_for(small_model, INT8, Cache(tmp_path))


def test_tuning_is_stored(tmp_path: Path) -> None:
    """Invalid JSON counts as no tuning, and so does a tuning without its digest, as version 0.1 wrote it."""
    cache = Cache(tmp_path)
    assert cache.tuning("a") is None
    assert cache.store_tuning("a", {"lanes": 2})
    assert cache.tuning("a") == {"lanes": 2}
    invalid = ("{", json.dumps([1]), '{"a":' * 10_000, r'{"why": "\ud800"}')
    unproved = ('{"lanes": 2}', '{"sha256": "", "tuning": {"lanes": 2}}', '{"sha256": "", "tuning": 2}')
    for content in (*invalid, *unproved):
        (tmp_path / "tuning" / "a.json").write_text(content)
        assert cache.tuning("a") is None


def test_keys_separate_their_parts() -> None:
    """The same characters in other parts give another key."""
    assert key("ab", "c") != key("a", "bc")
