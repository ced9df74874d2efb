"""Series that begin with 0, before their first event, and series of keys that end."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.errors import InvalidRequest, Overloaded
from rerank_service.metrics.core_state import CoreState
from rerank_service.metrics.exposition import Metrics
from rerank_service.observability.request_record import failure_of
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.totals import WorkTotals
from support.request_records import RECORD

_TOTALS = WorkTotals(batches=0, pairs=0, real_tokens=0, padded_tokens=0, cache_hits=0, busy_seconds={})
_RECORD = replace(RECORD, documents=3)


class _File:
    """A file of keys that a test changes."""

    def __init__(self, *names: str) -> None:
        self.keys = Keys(known=self._known(*names), changed=self._changed)
        self._next: list[KnownKey] | None = None

    def write(self, *names: str) -> None:
        """Replace all keys."""
        self._next = self._known(*names)

    def _changed(self) -> list[KnownKey] | None:
        changed, self._next = self._next, None
        return changed

    @staticmethod
    def _known(*names: str) -> list[KnownKey]:
        return [KnownKey(digest(name), Caller(name)) for name in names]


def _metrics(file: _File) -> Metrics:
    return Metrics(lambda: CoreState(True, 0.0, [], {"small": _TOTALS}), keys=file.keys.names)


async def _values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of the series of a metric, by the values of their labels, in the order of the labels' names."""
    text, _ = await metrics.text("")
    families = text_string_to_metric_families(text.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}


async def test_errors_of_the_server_begin_with_0_for_each_key() -> None:
    """`increase` of Prometheus misses the first error of a series that begins with 1."""
    metrics = _metrics(_File("search"))
    refused = await _values(metrics, "rerank_refused_total")
    kinds = ("internal", "inference_failed", "out_of_memory", "overloaded", "not_ready", "deadline_exceeded")
    expected = {(key, kind): 0.0 for kind in kinds for key in ("", "search")}
    assert refused == {**expected, ("", "invalid_api_key"): 0.0}
    assert await _values(metrics, "rerank_expired_total") == {("",): 0.0, ("search",): 0.0}


@pytest.mark.parametrize("part", ["queue", "tokenize", "inference"])
async def test_rankings_of_each_model_begin_with_0(part: str) -> None:
    """The alerts divide by the number of accepted requests."""
    assert await _values(_metrics(_File()), f"rerank_{part}_duration_seconds_count") == {("small",): 0.0}


async def test_series_of_many_keys_begin_with_their_first_error() -> None:
    """There are as many series as errors, not as many as keys."""
    metrics = _metrics(_File(*(f"key-{number}" for number in range(101))))
    assert await _values(metrics, "rerank_expired_total") == {("",): 0.0}
    metrics.requests.request_finished(
        replace(_RECORD, key="key-7", failure=failure_of(Overloaded("full", retry_after=1.0)))
    )
    assert (await _values(metrics, "rerank_refused_total"))["key-7", "overloaded"] == 1.0


async def test_series_of_a_key_end_when_it_is_not_in_the_file() -> None:
    """Those of other keys, and of requests without a key, continue. They begin again if the key comes back."""
    file = _File("search", "old")
    metrics, wrong = _metrics(file), failure_of(InvalidRequest("wrong", field="query"))
    for key in ("", "search", "old"):
        metrics.requests.request_finished(replace(_RECORD, key=key))
        metrics.requests.request_finished(replace(_RECORD, key=key, failure=wrong))
    assert ("old", "small") in await _values(metrics, "rerank_documents_total")
    file.write("search")
    assert await _values(metrics, "rerank_documents_total") == {("", "small"): 6.0, ("search", "small"): 6.0}
    for name in ("rerank_refused_total", "rerank_expired_total"):
        assert {labels[0] for labels in await _values(metrics, name)} == {"", "search"}
    file.write("search", "old")
    assert (await _values(metrics, "rerank_expired_total"))[("old",)] == 0.0


async def test_series_of_a_removed_model_end_also_if_it_never_ranked() -> None:
    """They begin at the first scrape."""
    models = {"small": _TOTALS, "gone": _TOTALS}
    metrics = Metrics(lambda: CoreState(True, 0.0, [], models))
    name = "rerank_queue_duration_seconds_count"
    assert set(await _values(metrics, name)) == {("gone",), ("small",)}
    del models["gone"]
    assert set(await _values(metrics, name)) == {("small",)}
