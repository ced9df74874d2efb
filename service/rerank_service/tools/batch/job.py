"""Run a job: read the input in parts, score them, write the finished ones, and join them at the end."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from rerank_service.errors import FileInvalid
from rerank_service.progress import Advance
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.batch.formats.file_format import FileFormat
from rerank_service.tools.batch.pair_scores import PairScorer, PairScores
from rerank_service.tools.batch.part_store import Counts, PartStore
from rerank_service.tools.batch.parts import Part, split
from rerank_service.tools.batch.rows import Row, ScoredRow

PARTS_IN_FLIGHT = 3
"""Parts that are read and not written yet: one runs, one is tokenized, and one waits, so that all lanes stay busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The input of a job, and the form of its output."""

    source: Path
    file_format: FileFormat
    part_pairs: int
    """Minimum pairs of a part."""
    strict: bool
    """Stop at the first row without a score."""


ScoreParts = Callable[[Job, Mapping[int, Counts]], Iterator[tuple[Part, PairScores]]]
"""Score the parts of a job that are not finished, and yield them in their order."""


def run(
    job: Job,
    store: PartStore,
    score: ScoreParts,
    advance: Advance,
    clock: Callable[[], float],
    check_source: Callable[[], object],
) -> Counts:
    """Score the parts that are not finished, join all parts, and return the numbers of the whole job.

    `check_source` raises FileInvalid if the input has changed since the job began.

    Raises:
        FileInvalid: the file as a whole is wrong or has changed, or a row has an error and the job is strict.
        NothingScored: the model or the server fails on every pair. Finished parts are kept.
    """
    if job.strict and (failed := store.first_error()):  # in a part of an earlier run without --strict
        raise _row_invalid(job, *failed)
    advance(sum(counts.rows for counts in store.finished.values()), detail="")
    started, pairs = clock(), 0
    for part, scores in _scored(score(job, store.finished), check_source):
        data, errors, counts = _written(job, part, scores)
        store.finish(part.number, data, errors, counts)
        pairs += counts.pairs
        rate = pairs / max(clock() - started, 1e-9)
        advance(counts.rows, detail=f"{rate:,.0f} pairs/s")
    check_source()
    return store.join(job.file_format)


def _scored(
    parts: Iterator[tuple[Part, PairScores]], check_source: Callable[[], object]
) -> Iterator[tuple[Part, PairScores]]:
    """Yield parts that were read from an unchanged input."""
    try:
        for part, scores in parts:
            check_source()
            yield part, scores
    except NothingScored as error:
        way_on = "Finished parts are kept: repair the model or the server, and run the same command again"
        raise NothingScored(f"{error}. {way_on}") from error
    except Exception:
        check_source()  # a reader of a file that changes may fail in any way
        raise


def unfinished_parts(job: Job, finished: Mapping[int, object]) -> Iterator[Part]:
    """Yield the parts of the input that are not finished."""
    return (part for part in split(job.file_format.read(), job.part_pairs) if part.number not in finished)


def score_parts(scorer: PairScorer, job: Job, finished: Mapping[int, Counts]) -> Iterator[tuple[Part, PairScores]]:
    """Score the parts that are not finished, a few at the same time, and yield them in their order."""
    waiting: deque[tuple[Part, Callable[[], PairScores]]] = deque()
    for part in unfinished_parts(job, finished):
        waiting.append((part, scorer.submit(part.pairs)))
        if len(waiting) == PARTS_IN_FLIGHT:
            first, result = waiting.popleft()
            yield first, result()
    for part, result in waiting:
        yield part, result()


def _written(job: Job, part: Part, scores: PairScores) -> tuple[bytes, bytes, Counts]:
    """Return the content of a part, its errors as JSONL, and its numbers."""
    scored: list[ScoredRow] = []
    failed = [(row.number, row.error) for row in part.rows if row.error]
    start = 0
    for row in part.valid_rows:
        end = start + len(row.documents)
        if error := _row_error(row, start, scores):
            failed.append((row.number, error))
        else:
            scored.append(ScoredRow(row, scores.scores[start:end].tolist(), scores.order[start:end].tolist()))
        start = end
    failed.sort()
    if failed and job.strict:
        raise _row_invalid(job, *failed[0])
    lines = [orjson.dumps({job.file_format.unit: number, "error": error}) + b"\n" for number, error in failed]
    pairs = sum(len(row.scores) for row in scored)
    data = job.file_format.encode(scored) if scored else b""
    return data, b"".join(lines), Counts(len(part.rows), pairs, len(failed))


def _row_invalid(job: Job, number: int, error: str) -> FileInvalid:
    return FileInvalid(f"{job.source}:{number}: {error}")


def _row_error(row: Row, start: int, scores: PairScores) -> str:
    """Return the first error of a row's documents; empty without one."""
    if not np.isnan(scores.scores[start : start + len(row.documents)]).any():
        return ""
    index = next(index for index in range(len(row.documents)) if start + index in scores.errors)
    message = scores.errors[start + index]
    return f"documents[{index}]: {message}" if row.is_list else message
