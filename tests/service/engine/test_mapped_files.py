"""Files of weights that ONNX Runtime has mapped, while the model is served: renamed, removed, written in place."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.engine.available import available_engines, open_runner
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.mapped_files import WatchedFiles
from rerank_service.engine.runtime import Feed, Runner, ort
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import NotReady, WeightsChanged
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import WEIGHTS
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import ScoreType
from rerank_service.scheduling.batching import Batch
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.parts import Pairs
from support.limits import batch_limits, request_limits
from support.running import running
from support.small import write_small_model


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Write a model whose weights are beside the graph. They are old, so that any write changes their time."""
    bundle = write_small_model(tmp_path / "small", weights_beside=True)
    os.utime(bundle.folder / WEIGHTS, (1e9, 1e9))
    return bundle


_SESSIONS: list[CrossEncoder] = []


def _loaded(bundle: Bundle) -> WatchedFiles:
    files = WatchedFiles(bundle.graph)
    _SESSIONS.append(CrossEncoder(bundle.graph))  # a mapping ends with its session
    files.keep_mapped()
    return files


def _rename(weights: Path) -> None:
    other = weights.with_name("new")
    other.write_bytes(bytes(weights.stat().st_size))
    other.replace(weights)


def _touch_name(weights: Path) -> None:
    weights.chmod(0o600)
    weights.with_name("link").hardlink_to(weights)


def _append(weights: Path) -> None:
    with weights.open("ab") as file:
        file.write(b"more")


def _overwrite(weights: Path) -> None:
    """Write other content of the same size."""
    with weights.open("r+b") as file:
        file.write(bytes(weights.stat().st_size))


def _overwrite_a_mapping(weights: Path) -> None:
    with weights.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[:4] = b"abcd"
        mapping.flush()


def _truncate(weights: Path) -> None:
    os.truncate(weights, 0)


@pytest.mark.parametrize("change", [_rename, _touch_name, Path.unlink])
def test_files_with_another_name_are_unchanged(change: Callable[[Path], None], bundle: Bundle) -> None:
    """`mv` of a new bundle, a removed bundle: the process has the old content until it ends."""
    files = _loaded(bundle)
    change(bundle.folder / WEIGHTS)
    files.check()


@pytest.mark.parametrize("change", [_append, _overwrite, _overwrite_a_mapping, _truncate])
def test_a_file_that_is_written_in_place_is_found(change: Callable[[Path], None], bundle: Bundle) -> None:
    """The message names the file and what to do instead."""
    files = _loaded(bundle)
    change(bundle.folder / WEIGHTS)
    with pytest.raises(WeightsChanged, match=r"model\.onnx\.data was changed in place .* `mv`"):
        files.check()


def test_files_that_are_not_mapped_may_change(bundle: Bundle) -> None:
    """The graph and the tokenizer were read. Their files are not kept open either."""
    files = _loaded(bundle)
    bundle.graph.write_bytes(b"")
    bundle.tokenizer.write_bytes(b"")
    files.check()
    open_files = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    assert str(bundle.folder / WEIGHTS) in open_files
    assert not {str(bundle.graph), str(bundle.tokenizer)} & open_files


def test_a_model_with_weights_in_its_graph_has_nothing_to_observe(small_model: Bundle) -> None:
    """Its batches are not checked."""
    assert not _loaded(small_model)


@pytest.mark.parametrize("provider", [Provider.CPU, Provider.OPENVINO])
def test_no_engine_scores_with_changed_weights(provider: Provider, bundle: Bundle) -> None:
    """OpenVINO maps the file in another way: shared, and as a whole."""
    engine = Engine(provider, Precision.FP32)
    if engine not in available_engines(Provider.AUTO, Precision.FP32).engines:
        pytest.skip(f"{engine} does not work on this machine")
    encoder, ids = CrossEncoder(bundle.graph, engine), np.full((1, 8), 54, np.int64)
    batch = Batch(ids, np.ones_like(ids), np.ones_like(ids))
    assert encoder.score(batch).tolist() == [400.0]
    _overwrite(bundle.folder / WEIGHTS)
    with pytest.raises(WeightsChanged):
        encoder.score(batch)


def test_a_batch_during_which_the_file_changes_has_no_scores(bundle: Bundle) -> None:
    """The change may come after the check before the batch."""

    class ChangesWhileItRuns:
        def __init__(self, runner: Runner) -> None:
            self._runner = runner
            self.graph_io = runner.graph_io

        def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
            _overwrite(bundle.folder / WEIGHTS)
            return self._runner.run(feed, options)

    encoder = CrossEncoder(bundle.graph, open_with=lambda *given: ChangesWhileItRuns(open_runner(*given)))
    with pytest.raises(WeightsChanged):
        encoder.score(Batch(*[np.ones((1, 8), np.int64)] * 3))


def test_a_batch_job_ends_too(bundle: Bundle) -> None:
    """It has its own lanes. The parts that are finished stay."""
    model = build_model(bundle, limits=batch_limits(), lanes=1)
    pairs = Pairs(["0", "0"], ["5 5", "3"])
    raw = RerankRequest(query="unused", score_type=ScoreType.RAW)
    with BulkScorer(model, request_limits(), raw) as scorer:
        assert scorer.submit(pairs)().scores.tolist() == [10.0, 3.0]
        _overwrite(bundle.folder / WEIGHTS)
        with pytest.raises(WeightsChanged):
            scorer.submit(pairs)()


@pytest.mark.parametrize("change", [_overwrite, _truncate])
async def test_a_model_whose_weights_change_ends(change: Callable[[Path], None], bundle: Bundle) -> None:
    """Its requests are sent to another replica, and the error ends the server. A removed file is none."""
    with pytest.raises(WeightsChanged):
        async with running(bundle) as core:
            weights = bundle.folder / WEIGHTS
            kept = weights.with_name("kept")
            kept.hardlink_to(weights)
            weights.unlink()
            ranking = await core.rank("0", "5 5", "3")
            assert [result.logit for result in ranking] == [10.0, 3.0]
            change(kept)
            with pytest.raises(NotReady):
                await core.rank("0", "5 5", "3")
