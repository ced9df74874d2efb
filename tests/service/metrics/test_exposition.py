"""The metrics of real requests, read with the parsers of Prometheus."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from rerank.client import AsyncRerankClient
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.client_address import TrustedProxies
from rerank_service.api.request_observation import Observing
from rerank_service.errors import RequestError
from rerank_service.lifecycle.model_control_errors import FolderNotAllowed, LoadConflict, LoadFailed
from rerank_service.metrics.core_state import core_state
from rerank_service.metrics.exposition import Metrics
from rerank_service.models.bundle import Bundle
from rerank_service.observability.request_record import Observers
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.score_cache import ScoreCache
from support.grpc_calls import until_idle
from support.http import post
from support.observed import Recorder
from support.running import Running, Served, build_held, running, running_lanes, served

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
BODY = {"query": "0", "documents": ["1", "2 3 4", "5"]}
KEYS = Keys(["nameless"], [KnownKey(digest("sesame"), Caller("search"))])


class Measured:
    """Servers with metrics."""

    def __init__(self, edges: Served, recorder: Recorder) -> None:
        self.edges = edges
        self.finished = recorder.next

    async def families(self, accept: str = "", **headers: str) -> list[Metric]:
        """Return the metrics, parsed."""
        response = await self.edges.http.get("/metrics", headers={"accept": accept, **headers})
        assert response.status_code == 200
        if accept == OPENMETRICS:
            assert response.headers["content-type"].startswith("application/openmetrics-text")
            return list(openmetrics_families(response.text))  # type: ignore[no-untyped-call]
        assert response.headers["content-type"].startswith("text/plain")
        return list(text_string_to_metric_families(response.text))

    async def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a series; None if there is none. Labels that are not named may have any value."""
        found = [
            sample.value
            for family in await self.families(authorization="Bearer sesame")
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{name}{labels} has {len(found)} series"
        return found[0] if found else None


@asynccontextmanager
async def measured(core: Running, **options: Any) -> AsyncIterator[Measured]:
    """Serve a reranker with metrics. `options` are those of `served`."""
    metrics, recorder = Metrics(partial(core_state, core.registry, core.admissions, ready=True)), Recorder()
    observing = Observing(Observers(metrics.requests, recorder), TrustedProxies(()))
    async with served(core, observing=observing, metrics=metrics.text, **options) as edges:
        yield Measured(edges, recorder)


@pytest.fixture
async def server(core: Running) -> AsyncIterator[Measured]:
    """Yield servers with metrics."""
    async with measured(core) as parts:
        yield parts


async def test_both_formats_have_the_same_metrics(server: Measured) -> None:
    """Prometheus asks for OpenMetrics; other scrapers read the older format only."""
    await post(server.edges, BODY)
    await server.finished()
    old, new = await server.families(), await server.families(OPENMETRICS)
    assert {f"{family.name}_info" if family.type == "info" else family.name for family in new} == {
        family.name for family in old
    }


@pytest.mark.parametrize(
    "accept", ['text/plain;version="0.0.4"', "application/openmetrics-text;version=x", "text/plain;version=", ";=,"]
)
async def test_version_that_is_no_number_does_not_fail(server: Measured, accept: str) -> None:
    """A quoted version is valid in HTTP; the others are mistakes of the client. Older libraries ignore it."""
    response = await server.edges.http.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(("text/plain; ", "application/openmetrics-text; "))
    assert b"process_start_time_seconds" in response.content


async def test_a_rest_request_is_measured(server: Measured) -> None:
    """Under the names and labels of OpenTelemetry."""
    await post(server.edges, BODY, "/v1/rerank")
    await server.finished()
    labels = {"http_request_method": "POST", "http_route": "/v1/rerank", "http_response_status_code": "200"}
    assert await server.value("http_server_request_duration_seconds_count", **labels) == 1
    assert 0 < (await server.value("http_server_request_duration_seconds_sum", **labels) or 0) < 60
    assert await server.value("http_server_request_duration_seconds_bucket", le="+Inf", **labels) == 1
    for part in ("queue", "tokenize", "inference"):
        assert await server.value(f"rerank_{part}_duration_seconds_count", model="small") == 1
    assert await server.value("rerank_documents_total", model="small", key="") == 3
    assert await server.value("rerank_pairs_total", model="small") == 3
    assert (await server.value("rerank_lane_busy_seconds_total", model="small", lane="0") or 0) > 0


async def test_a_grpc_call_is_measured(server: Measured) -> None:
    """Under the names and labels of gRFC A66."""
    await server.edges.client.rerank("0", ["1"])
    record = await server.finished()
    labels = {"grpc_method": "rerank.v1.Rerank/Rerank"}
    assert await server.value("grpc_server_call_started_total", **labels) == 1
    labels |= {"grpc_status": "OK"}
    assert await server.value("grpc_server_call_duration_seconds_count", **labels) == 1
    for direction, size in (("sent", record.sent_bytes), ("rcvd", record.received_bytes)):
        name = f"grpc_server_call_{direction}_total_compressed_message_size_bytes"
        assert await server.value(f"{name}_sum", **labels) == size > 0
        assert await server.value(f"{name}_bucket", le="1024.0", **labels) == 1


async def test_tokens_and_batches_are_counted(server: Measured) -> None:
    """Real tokens are those that the response reports; padded ones are more."""
    usage = (await server.edges.client.rerank("0", ["1", "2 3 4 5 6"])).usage
    assert await server.value("rerank_tokens_total", model="small", kind="real") == usage.prompt_tokens
    assert await server.value("rerank_tokens_total", model="small", kind="padded") == usage.padded_tokens
    assert await server.value("rerank_batches_total", model="small") == len(server.edges.core.score.batches)


async def test_lanes_are_shown_before_their_first_batch(server: Measured) -> None:
    """Busy seconds of a lane are a series from its first batch on, so they do not show how many lanes there are."""
    assert await server.value("rerank_lane_busy_seconds_total", model="small") is None
    assert await server.value("rerank_lanes", model="small") == server.edges.core.model.info.lanes == 1


async def test_waiting_and_running_requests_are_shown(server: Measured) -> None:
    """With the backlog, which is 0 again at the end."""
    score = server.edges.core.score
    assert await server.value("rerank_backlog_seconds") == 0
    score.hold()
    first = asyncio.create_task(post(server.edges, BODY))
    await score.started()
    second = asyncio.create_task(post(server.edges, {"query": "1", "documents": ["7"]}))
    while server.edges.core.admission.live_requests < 2:
        await asyncio.sleep(0)
    assert await server.value("rerank_requests_running", model="small") == 1
    assert await server.value("rerank_requests_waiting", model="small") == 1
    backlog = await server.value("rerank_backlog_seconds")
    assert backlog is not None
    assert 0 < backlog < 60
    score.release()
    await asyncio.gather(first, second)
    for name in ("rerank_requests_running", "rerank_requests_waiting", "rerank_backlog_seconds"):
        assert await server.value(name) == 0


async def test_cache_hits_are_counted(small_model: Bundle) -> None:
    """With a cache, the metric and the response report the same number."""
    async with running(small_model, scores=ScoreCache(10_000)) as core, measured(core) as server:
        for hits in (0, 2):
            usage = (await server.edges.client.rerank("0", ["1", "2"])).usage
            assert await server.value("rerank_cache_hits_total", model="small") == usage.shared_pairs == hits


async def test_the_error_of_the_forecast_is_measured(server: Measured) -> None:
    """Only requests whose size is known at the beginning have a forecast: a stream has none."""
    await post(server.edges, BODY)
    await server.edges.client.rerank_stream("0", ["1"])
    counts = [
        await server.value("rerank_forecast_error_seconds_count", model="small", direction=direction) or 0
        for direction in ("late", "early")
    ]
    assert sum(counts) == 1


async def test_refused_and_expired_requests_are_counted_by_key(core: Running) -> None:
    """Reasons are kinds of errors. A request without a valid key has no key name."""
    async with measured(core, keys=KEYS) as server:
        sesame = {"authorization": "Bearer sesame"}
        await post(server.edges, {"query": "0"}, **sesame)
        await post(server.edges, BODY | {"model": "Jane"}, **sesame)
        await post(server.edges, BODY, authorization="Bearer wrong")
        core.score.hold()
        await post(server.edges, BODY, **sesame, **{"x-request-timeout": "0.05"})
        core.score.release()
        for _ in range(4):
            await server.finished()
        value = partial(server.value, "rerank_refused_total")
        assert await value(reason="invalid_request", key="search") == 1
        assert await value(reason="model_not_found", key="search") == 1
        assert await value(reason="invalid_api_key", key="") == 1
        assert await server.value("rerank_expired_total", key="search") == 1


async def test_metrics_on_the_rest_port_need_a_key(core: Running) -> None:
    """If the server has keys. The metrics contain the names of keys and models."""
    async with measured(core, keys=KEYS) as server:
        refused = await server.edges.http.get("/metrics")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert await server.families(authorization="Bearer sesame")


async def test_hostile_requests_make_no_new_series(core: Running) -> None:
    """Paths, methods, models, ids and keys are chosen by callers. They must not become labels."""

    async def attack(server: Measured, turn: int) -> None:
        http, name = server.edges.http, f"jane-{turn}"
        await http.get(f"/{name}")
        await http.get(f"/v1/models/{name}/x")
        await http.request(f"BREW{turn}", "/v2/rerank")
        await http.request(f"BREW{turn}", f"/{name}")
        await http.get(f"/static-offline-docs/{name}")
        await post(server.edges, BODY | {"model": name}, **{"x-request-id": name, "x-forwarded-for": name})
        await post(server.edges, {name: 1, "query": "0", "documents": [{name: name}]})
        await post(server.edges, BODY | {"score_type": name})
        await post(server.edges, BODY, authorization=f"Bearer {name}", **{"x-request-timeout": name})
        async with grpc.aio.insecure_channel(server.edges.address) as channel:
            for method in (f"/{name}/{name}", f"/rerank.v1.Rerank/{name}"):
                empty: Any = b""
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary(method)(empty)
        async with AsyncRerankClient(server.edges.address) as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.rerank("0", ["1"], model=name)

    async with measured(core) as server:
        await attack(server, 0)
        await post(server.edges, BODY)
        for _ in range(12 + 1):
            await server.finished()
        before = {_series(sample) for sample in _samples(await server.families())}
        for turn in range(1, 10):
            await attack(server, turn)
        for _ in range(9 * 12):
            await server.finished()
        after = {_series(sample) for sample in _samples(await server.families())}
    assert after - before == set()
    assert not any("jane" in str(series) for series in after)


async def test_a_hot_swap_continues_the_counters(server: Measured, small_model: Bundle) -> None:
    """Counters never go back, even if the earlier model was never scraped."""
    await post(server.edges, BODY)
    model, score = build_held(small_model, limits=server.edges.core.model.scheduler.limits, lanes=2)
    async with running_lanes(model.scheduler, score):
        server.edges.core.registry.add(model)
        assert await server.value("rerank_pairs_total", model="small") == 3
        await post(server.edges, BODY)
        assert await server.value("rerank_pairs_total", model="small") == 6
        await until_idle(server.edges.core)


async def test_series_of_a_model_end_when_the_server_does_not_have_it(server: Measured) -> None:
    """An unloaded model keeps its totals. A removed one has no series. They begin again if it comes back."""
    await post(server.edges, BODY, authorization="Bearer sesame")
    await server.finished()
    registry = server.edges.core.registry
    [registered] = registry.registered
    serving = registered.stop_serving()
    assert serving is not None
    assert await server.value("rerank_pairs_total", model="small") == 3
    assert await server.value("rerank_documents_total", model="small") == 3
    assert await server.value("rerank_requests_running", model="small") is None
    registry.register([])
    assert not [sample for sample in _samples(await server.families()) if "model" in sample.labels]
    registry.register([registered])
    registered.serve(serving)
    await post(server.edges, BODY, authorization="Bearer sesame")
    await server.finished()
    assert await server.value("rerank_documents_total", model="small") == 3
    assert await server.value("rerank_queue_duration_seconds_count", model="small") == 1


async def test_servers_in_one_process_have_metrics_of_their_own(core: Running) -> None:
    """There is no global registry."""
    async with measured(core) as first, measured(core) as second:
        await post(first.edges, BODY)
        await first.finished()
        assert await first.value("http_server_request_duration_seconds_count") == 1
        assert await second.value("http_server_request_duration_seconds_count") is None


def test_kinds_of_errors_are_few() -> None:
    """Each is a value of the label `reason`."""

    def subclasses(error: type[RequestError]) -> Iterator[type[RequestError]]:
        yield error
        for each in error.__subclasses__():
            yield from subclasses(each)

    assert {error.kind for error in subclasses(RequestError)} == {
        "internal",
        "invalid_request",
        "too_large",
        "unknown_route",
        "invalid_api_key",
        "model_not_allowed",
        "model_not_found",
        "overloaded",
        "rate_limited",
        "not_ready",
        "deadline_exceeded",
        "deadline_passed",
        "inference_failed",
        "out_of_memory",
        LoadFailed.kind,
        LoadConflict.kind,
        FolderNotAllowed.kind,
    }


async def test_build_and_model_are_shown(server: Measured) -> None:
    """They are labels of series with the value 1."""
    info = server.edges.core.model.info
    assert await server.value("rerank_build_info") == 1
    assert await server.value("rerank_model_info", model="small", precision=info.precision, digest=info.digest) == 1


def _samples(families: list[Metric]) -> Iterator[Any]:
    for family in families:
        yield from family.samples


def _series(sample: Any) -> tuple[Any, ...]:
    assert not math.isnan(sample.value)
    return (sample.name, *sorted(sample.labels.items()))
