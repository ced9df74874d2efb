"""Throughput of `rerank batch` beside the bare engine: `PYTHONPATH=tests .venv-ray/bin/python -m bench.batch`.

Each round runs all systems on the same pairs, in turns: the bare engine, which also tokenizes; a job in this process,
which also reads and writes files; and Ray jobs with one actor, and with one per core, without their start and end.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from bench.arguments import bench_parser
from bench.runners.bare import Engine
from rerank_service.engine.host import limit_tokenizer_threads, usable_cores
from rerank_service.models.files import STARTER
from rerank_service.models.loading import load_selected
from rerank_service.observability.logs import configure_logging
from rerank_service.progress import kept_stages
from rerank_service.ranking.request import RerankRequest
from rerank_service.settings import read_settings
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.job import Job, run, score_parts
from rerank_service.tools.batch.part_store import PartStore
from rerank_service.tools.batch.ray_cluster import ActorPool, connected
from rerank_service.tools.batch.ray_job import score_on_ray
from rerank_service.tools.batch.ray_scorer import ActorOptions
from rerank_service.tools.batch.rows import Columns
from rerank_service.tools.loadtest.workload import Workload
from rerank_service.wiring import request_limits, single_model_options

SEED = 35
_RAY_PARTS = 20
_EDGE_PARTS = 4
"""Parts at the beginning and at the end of a Ray job that are not measured."""
_REQUEST = RerankRequest(query="unused")


EXAMPLES = (
    ("2,000 pairs in three rounds", ""),
    ("more pairs, one round", "--pairs 20000 --rounds 1"),
)
"""Examples of --help."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one turn."""

    wall: float
    cpu: float
    """CPU seconds of this process. Other programs on the machine change them less than the wall time."""


def _measured(work: Callable[[], object]) -> Measured:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


def _job(source: Path, pairs: int) -> Job:
    file_format = JsonlFormat(source, Columns(), sort=False, compress=False)
    return Job(source=source, file_format=file_format, part_pairs=pairs, strict=False)


def _one_process(scorer: BulkScorer, job: Job) -> None:
    store = PartStore(job.source.with_name("out.jsonl"))
    with store.opened({}, restart=True):
        run(job, store, partial(score_parts, scorer), lambda _amount, *, detail="": None, time.monotonic, lambda: None)


def _ray_rate(options: ActorOptions, job: Job, actors: int) -> float:
    """Return the pairs per second of a Ray job between its start and its end: with equally many parts in work."""
    ends = [(len(part.pairs), time.perf_counter()) for part, _ in score_on_ray(options, ActorPool(actors, 1), job, {})]
    steady = ends[_EDGE_PARTS:-_EDGE_PARTS]
    return sum(pairs for pairs, _ in steady[1:]) / (steady[-1][1] - steady[0][1])


def main() -> None:
    """Print each turn, and the medians."""
    parser = bench_parser("batch", __doc__, EXAMPLES)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    configure_logging("auto", "warning")
    limit_tokenizer_threads()
    settings = read_settings(model=STARTER)
    model, limits = load_selected(single_model_options(settings)), request_limits(settings)
    workload = Workload(seed=SEED)
    prepared = workload.prepared(arguments.pairs // workload.documents).requests
    requests = [(request.query, list(request.documents)) for request in prepared]
    pairs = len(requests) * workload.documents
    turns: list[dict[str, float]] = []
    say = kept_stages(time.perf_counter)
    with tempfile.TemporaryDirectory() as folder, connected("local"):
        source = Path(folder) / "in.jsonl"
        source.write_bytes(b"".join(orjson.dumps({"query": q, "documents": d}) + b"\n" for q, d in requests))
        bare, ray_options = Engine(model), ActorOptions(single_model_options(settings), limits, _REQUEST)
        with BulkScorer(model, limits, _REQUEST) as scorer:
            for number in range(1, arguments.rounds + 1):
                say(f"round {number} of {arguments.rounds}")
                engine = _measured(lambda: bare.run(bare.prepare(requests), None))
                batch = _measured(lambda: _one_process(scorer, _job(source, -(-pairs // 4))))
                rates = {
                    f"Ray, {actors} x 1 CPU, pairs/s": _ray_rate(ray_options, _job(source, pairs // _RAY_PARTS), actors)
                    for actors in sorted({1, usable_cores()})
                }
                turns.append(
                    {
                        "bare engine with tokenizer, pairs/s": pairs / engine.wall,
                        "rerank batch, pairs/s": pairs / batch.wall,
                        "wall time, batch / bare": batch.wall / engine.wall,
                        "CPU time, batch / bare": batch.cpu / engine.cpu,
                        **rates,
                    }
                )
                print(*(f"{name}: {value:.2f}" for name, value in turns[-1].items()), sep="; ", flush=True)
    for name in turns[0]:
        print(f"median {name}: {statistics.median(turn[name] for turn in turns):.2f}")


if __name__ == "__main__":
    main()
