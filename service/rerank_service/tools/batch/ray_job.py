"""Score the parts of a job as a Ray Data job.

One task on this node reads the input and yields the parts. Actors on all nodes score them. This process reads the input
again, to write the rows of each part with its scores: so IN and OUT are needed on this node only, and rows do not
travel through the cluster.

A part is one row of the dataset, and each block is one row. So an actor gets the same pairs together as without Ray,
and OUT has the same bytes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask
from ray.exceptions import RayError

from rerank_service.errors import OperatorError
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.batch.job import Job, unfinished_parts
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.part_store import Counts
from rerank_service.tools.batch.parts import Part
from rerank_service.tools.batch.ray_cluster import ActorPool
from rerank_service.tools.batch.ray_scorer import CALLS_PER_ACTOR, ActorOptions, PartScorer

_TASKS_PER_ACTOR = 2 * CALLS_PER_ACTOR
_ONE_ROW = 1
"""Maximum size of a block in bytes: a row is never divided, so each block is one row."""


_OWN_ERROR = re.compile(r"\brerank_service\.(?:errors|scheduling\.nothing_scored)\.(?P<kind>\w+): (?P<message>.*)")


class _Parts(Datasource):  # type: ignore[misc]  # mypy does not read Ray, whose types are not complete
    """The parts of a job that are not finished, one per row."""

    def __init__(self, job: Job, finished: frozenset[int]) -> None:
        self._job = job
        self._finished = finished

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: not known."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:  # noqa: ARG002 - one reader
        """Return one task: the input is read from the beginning to the end."""
        job, finished = self._job, self._finished
        metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(lambda: _blocks(job, finished), metadata)]


def _blocks(job: Job, finished: frozenset[int]) -> Iterable[pa.Table]:
    kind = pa.list_(pa.large_string())
    for part in unfinished_parts(job, dict.fromkeys(finished)):
        if len(part.pairs):
            queries, documents = pa.array([part.pairs.queries], kind), pa.array([part.pairs.documents], kind)
            yield pa.table({"part": [part.number], "query": queries, "document": documents})


def score_on_ray(
    options: ActorOptions, pool: ActorPool, job: Job, finished: Mapping[int, Counts]
) -> Iterator[tuple[Part, PairScores]]:
    """Score the parts that are not finished on the connected cluster, and yield them in their order.

    Raises:
        NothingScored: the model of an actor fails on every pair.
        OperatorError: an actor cannot load the model, or the cluster fails.
    """
    with errors_of_ray():
        results = _results(options, pool, job, frozenset(finished))
        for part in unfinished_parts(job, finished):
            if not len(part.pairs):
                yield part, PairScores(np.empty(0), np.empty(0))
                continue
            row = next(results, None)
            if row is None or row["part"] != part.number:
                raise OperatorError(f"Ray returned {row and row['part']} instead of part {part.number}: try again")
            errors = dict(zip(row["failed"], row["error"], strict=True))
            yield part, PairScores(np.array(row["score"], np.float64), np.array(row["order"], np.float64), errors)


def _results(options: ActorOptions, pool: ActorPool, job: Job, finished: frozenset[int]) -> Iterator[dict[str, Any]]:
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = _ONE_ROW
    context.enable_progress_bars = False
    parts = ray.data.read_datasource(
        _Parts(job, finished),
        override_num_blocks=1,
        num_cpus=0,  # the actors use all CPUs
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},
    )
    scored = parts.map_batches(
        PartScorer,
        fn_constructor_args=(options, pool.cpus),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            size=pool.actors,
            max_tasks_in_flight_per_actor=_TASKS_PER_ACTOR,
            max_concurrent_calls_per_actor=CALLS_PER_ACTOR,
        ),
        num_cpus=pool.cpus,
    )
    for batch in scored.iter_batches(batch_size=1, batch_format="pyarrow"):
        yield from batch.to_pylist()


@contextmanager
def errors_of_ray() -> Iterator[None]:
    """Turn errors of Ray into errors of one line."""
    try:
        yield
    except RayError as error:
        raise _own_error(error) from error


def _own_error(error: RayError) -> OperatorError:
    """Return an error with the last line of Ray's message, which has the traceback of the worker. Of our own errors,
    the message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    own = _OWN_ERROR.search(last)
    if own is None:
        return OperatorError(f"the Ray job failed: {last}")
    kind = NothingScored if own["kind"] == NothingScored.__name__ else OperatorError
    return kind(own["message"])
