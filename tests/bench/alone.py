"""Figures of this server without a peer."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.comparison import FAILURES
from bench.figures import beside_bulk, cold_start, memory, overload
from bench.parts import Alone
from bench.pool import SystemPool
from bench.running_systems import ServedSystem, served_systems
from bench.servers import our_server
from bench.systems import SERVED, bundled_path

T = TypeVar("T")


def measure_alone(pool: SystemPool, served: ServedSystem, bundle: Path | None, logs: Path) -> Alone:
    """Measure a running server, then new ones. A failure is recorded, and the other figures continue."""
    failed: dict[str, str] = {}
    options = pool.options

    def take(figure: str, measure: Callable[[], T]) -> T | None:
        pool.say(figure.replace("_", " "))
        try:
            return measure()
        except FAILURES as error:
            failed[figure] = str(error)
            pool.say(f"{figure} cannot be measured: {error}")
            return None

    def added_memory() -> memory.Memory:
        """Measure a new server: after bulk requests a server has memory in reserve and adds less."""
        with our_server(logs / "memory.log", bundled_path(bundle, SERVED)) as server:
            (running,) = served_systems(server, [SERVED], {})
            return memory.take(server.process, running.target, options)

    return Alone(
        beside_bulk=take("beside_bulk", lambda: beside_bulk.take(served.target, options)),
        overload=take("overload", lambda: overload.take(served.target, options)),
        memory=take("memory", added_memory),
        cold_start=take("cold_start", lambda: cold_start.take(logs / "cold-start.log", options)),
        failed=failed,
    )
