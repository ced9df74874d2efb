"""Order of a part: start its systems, measure them in turns, stop the peers, measure this server alone."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.alone import measure_alone
from bench.comparison import Comparison
from bench.figures import levels
from bench.host import Host
from bench.parts import RANDOM, SERVER, Part, PartResults, our_settings
from bench.peers import peers_of_bundled_model, peers_of_random_model
from bench.pool import SystemPool
from bench.running_systems import ServedSystem
from bench.systems import REFERENCE, SERVED, System, Use, our_systems
from rerank_service.tools.loadtest.workload import Workload

_REQUESTS_IN_LEVELS = 256
"""Number of requests created before the measurement; they repeat if more are sent."""


class Run:
    """A benchmark on one machine, part by part."""

    def __init__(self, host: Host, models: Path, starter: Path | None, logs: Path) -> None:
        """`models` is the output folder of bench.model; `starter` is the source of the bundled model, if given."""
        self.host = host
        self._models = models
        self._starter = starter
        self._logs = logs

    def systems(self, part: Part) -> tuple[list[System], list[System]]:
        """Return our systems and the peers' systems of a part."""
        all_of_ours = our_systems(self.host)
        if part.model == RANDOM:
            peers = peers_of_random_model(self._models, self.host)
            ours = all_of_ours if part.name == SERVER else [SERVED, REFERENCE]
        else:
            peers = peers_of_bundled_model(self._starter, self.host)
            ours = [system for system in all_of_ours if system.use in (Use.OURS, Use.ENGINE)]
        return ours, [system for system in peers if system.peer in part.peers]

    def results(self, part: Part, pool: SystemPool) -> PartResults:
        """Measure a part."""
        begun = time.perf_counter()
        logs = self._logs / part.name
        bundle = self._models if part.model == RANDOM else None
        ours, peers = self.systems(part)
        alone = None
        with ExitStack() as stack:
            comparison = Comparison(pool, bundle, self._models, logs, self.host.cores, stack)
            server, served = comparison.start_ours(ours)
            work = comparison.measure(peers)
            in_levels = served if part.name == SERVER else []
            by_level = _levels(pool, [*in_levels, *comparison.fastest_served_peer()])
            comparison.peers.close()
            if part.name == SERVER:
                server.process.go()
                alone = measure_alone(pool, served[0], bundle, logs)
        return PartResults(
            part=part,
            date=datetime.now(UTC).date().isoformat(),
            seconds=time.perf_counter() - begun,
            served=served[0].info,
            settings=our_settings(),
            work=len(work.requests) * pool.options.documents,
            records=list(pool.records.values()),
            levels=by_level,
            alone=alone,
        )


def _levels(pool: SystemPool, served: Sequence[ServedSystem]) -> list[levels.LoadLevel]:
    return levels.take(pool, served, Workload(pool.options.documents, seed=5).prepared(_REQUESTS_IN_LEVELS))
