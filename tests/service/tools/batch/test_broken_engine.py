"""A model that stops working during a job: no row is listed as an error because of it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import OutOfMemory
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import ScoreType
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.job import Job, run, score_parts
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.part_store import PartStore
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.rows import Columns
from support.limits import batch_limits, request_limits

_RAW = RerankRequest(query="unused", score_type=ScoreType.RAW)
_PART_PAIRS = 4
_IDENTITY = {"IN": "abc"}
_Score = Callable[[Batch, CancelToken], NDArray[np.float32]]


class _Encoder:
    """An encoder whose calls, by their number from 0, may fail."""

    def __init__(self, score: _Score, fail: Callable[[int], None]) -> None:
        self._score = score
        self._fail = fail
        self._numbers = count()

    def score(self, batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        """Score a batch, unless this call fails."""
        self._fail(next(self._numbers))
        return self._score(batch, token)


def _scorer(bundle: Bundle, fail: Callable[[int], None]) -> BulkScorer:
    model = build_model(bundle, limits=batch_limits(), lanes=1)
    encoder = cast("CrossEncoder", _Encoder(model.encoder.score, fail))
    return BulkScorer(replace(model, encoder=encoder), request_limits(), _RAW)


def _score(bundle: Bundle, fail: Callable[[int], None], *documents: str) -> PairScores:
    with _scorer(bundle, fail) as scorer:
        return scorer.submit(Pairs(["q"] * len(documents), documents))()


def _always(error: Exception, number: int, *, first: int = 0) -> None:
    if number >= first:
        raise error


@pytest.mark.parametrize("error", [RuntimeError("CUDA error 700"), OutOfMemory("no memory")])
def test_a_model_that_fails_on_every_pair_ends_the_job(small_model: Bundle, tmp_path: Path, error: Exception) -> None:
    """It fails after the first part, which is kept. The next run continues with the second one."""
    source, store = tmp_path / "in.jsonl", PartStore(tmp_path / "out.jsonl")
    rows = [{"query": "q", "document": str(number)} for number in range(3 * _PART_PAIRS)]
    source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    file_format = JsonlFormat(source, Columns(), sort=False, compress=False)
    job = Job(source=source, file_format=file_format, part_pairs=_PART_PAIRS, strict=False)

    def finish(scorer: BulkScorer) -> None:
        with scorer, store.opened(_IDENTITY, restart=False):
            run(job, store, partial(score_parts, scorer), lambda *_, **__: None, count().__next__, lambda: None)

    with pytest.raises(NothingScored, match=f"^model 'small' does not score a short pair either: {error}. Finished"):
        finish(_scorer(small_model, partial(_always, error, first=1)))
    assert list(store.finished) == [0]
    assert not (tmp_path / "out.jsonl").exists()
    finish(_scorer(small_model, lambda _: None))
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["score"] for line in lines] == list(range(len(rows)))


def test_a_pair_is_tried_again_after_an_error_that_passes(small_model: Bundle) -> None:
    """A batch fails, then each of its pairs. Then the model works again."""

    def fail(number: int) -> None:
        if number < 3:
            raise RuntimeError("busy")

    scored = _score(small_model, fail, "1", "2")
    assert scored.scores.tolist() == [1, 2]
    assert not scored.errors


def test_a_model_that_returns_no_number_for_every_pair_ends_the_job(small_model: Bundle) -> None:
    """Its rows would otherwise be listed as errors, too."""
    model = build_model(small_model, limits=batch_limits(), lanes=1)

    class _NoNumbers:
        def score(self, batch: Batch, _: CancelToken) -> NDArray[np.float32]:
            return np.full(batch.rows, np.nan, np.float32)

    encoder = cast("CrossEncoder", _NoNumbers())
    with (
        BulkScorer(replace(model, encoder=encoder), request_limits(), _RAW) as scorer,
        pytest.raises(NothingScored, match="either: it returns scores that are no numbers"),
    ):
        scorer.submit(Pairs(["q"], ["1"]))()
