"""All metrics of a server, as the text that Prometheus reads."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from rerank_service.metrics.config_metrics import config_metrics
from rerank_service.metrics.config_state import ConfigState
from rerank_service.metrics.core_metrics import core_metrics
from rerank_service.metrics.core_state import CoreState
from rerank_service.metrics.loop_metrics import loop_metrics
from rerank_service.metrics.request_metrics import RequestMetrics
from rerank_service.observability.loop_turns import LoopTurns, TurnTotals


class Metrics:
    """The metrics of one server. Several servers in one process have metrics of their own."""

    def __init__(
        self,
        core: Callable[[], CoreState],
        config: Callable[[], ConfigState] = ConfigState,
        turns: LoopTurns | None = None,
        max_connections: int | None = None,
        keys: Callable[[], frozenset[str]] | None = None,
    ) -> None:
        """`core` returns the current state of the core, and `config` that of the files that are read again when they
        change. Both are called on the event loop. `turns` are those of the event loop; None: it is not observed.
        `max_connections` is the limit of each address of a port; None: it is not shown.
        `keys` returns the names of all API keys, also on the event loop. None: series of keys are kept."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which no query needs
        self._registry = CollectorRegistry()
        self._core = core
        self._config = config
        self._turns = turns
        self._keys = keys
        self.requests = RequestMetrics(self._registry)
        ProcessCollector(registry=self._registry)
        if max_connections is not None:
            _max_connections(self._registry).set(max_connections)

    def snapshot(self) -> "Snapshot":
        """Return all metrics, with the current states."""
        core = self._core()
        self.requests.keep_models(core.totals)
        keys: frozenset[str] = frozenset()
        if self._keys is not None:
            keys = self._keys()
            self.requests.keep_keys(keys)
        self.requests.begin(core.totals, keys)
        return Snapshot(self._registry, core, self._config(), self._turns.totals() if self._turns else None)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type, in the format that the client prefers by its header `Accept`."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number, or that is quoted
            encode, content_type = choose_encoder("")
        return await asyncio.to_thread(encode, self.snapshot()), content_type


def _max_connections(registry: CollectorRegistry) -> Gauge:
    return Gauge(
        "rerank_max_connections",
        "Maximum number of connections to each address of a port (`--max-connections`). `process_open_fds` counts the "
        "open ones of all addresses, with some other files.",
        registry=registry,
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All metrics at one time, in the form that the encoders of prometheus-client take."""

    registry: CollectorRegistry
    core: CoreState
    config: ConfigState
    turns: TurnTotals | None

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        return chain(
            self.registry.collect(), core_metrics(self.core), config_metrics(self.config), loop_metrics(self.turns)
        )
