"""Metrics of finished requests.

Rule: no label has a value that a caller chooses. Routes, methods and statuses are those of the server, `model` is the
served name, `key` the name in the file of keys, and `reason` is the kind of an error.
"""

from collections.abc import Container, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from rerank_service.errors import (
    DeadlineExceeded,
    DeadlinePassed,
    InferenceFailed,
    NotReady,
    OutOfMemory,
    Overloaded,
    RequestError,
    Unauthenticated,
)
from rerank_service.metrics.buckets import GRPC_BYTES, GRPC_SECONDS, HTTP_SECONDS, PART_SECONDS
from rerank_service.metrics.series import Series
from rerank_service.observability.request_record import RequestRecord

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_OTHER_METHOD = "_OTHER"
"""Any other HTTP method. Source: OpenTelemetry semantic conventions, http.request.method."""
_FAILURES = (RequestError, InferenceFailed, OutOfMemory, Overloaded, NotReady, DeadlineExceeded)
"""Errors that no caller can avoid. Alerts use their series."""
_MAX_KEYS = 100
"""Maximum number of keys whose series begin before their first error: each has 7 of them."""
_GRPC = ["grpc_method", "grpc_status"]
_HTTP = ["http_request_method", "http_route", "http_response_status_code"]


class RequestMetrics:
    """Counts requests when they begin and when they end."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._grpc = _GrpcMetrics(registry)
        self._ranking = _RankingMetrics(registry)
        self._http_seconds = Series(
            Histogram,
            "http_server_request_duration_seconds",
            "Time from the arrival of an HTTP request to the end of its response. Health checks and /metrics are left "
            "out.",
            _HTTP,
            buckets=HTTP_SECONDS,
            registry=registry,
        )

    def call_started(self, method: str) -> None:
        """Count a gRPC call that begins."""
        self._grpc.started.of(method).inc()

    def begin(self, models: Iterable[str], keys: frozenset[str]) -> None:
        """Begin the series of models and of errors with 0. Prometheus does not count the increase to the first value.

        `keys` are names of keys, at most 100: the series of more keys begin with their first error.
        """
        self._ranking.begin(models, keys if len(keys) <= _MAX_KEYS else frozenset())

    def keep_keys(self, names: Container[str]) -> None:
        """Remove the series of all other keys: they are no longer in the file of keys."""
        self._ranking.keep_keys(names)

    def keep_models(self, names: Container[str]) -> None:
        """Remove the series of all other models: the server does not have them any more."""
        self._ranking.keep_models(names)

    def request_finished(self, record: RequestRecord) -> None:
        """Count a request that has ended."""
        if record.protocol == "grpc":
            self._grpc.count(record)
        else:
            method = record.method if record.method in _METHODS else _OTHER_METHOD
            self._http_seconds.of(method, record.route, record.status).observe(record.seconds)
        self._ranking.count(record)


class _GrpcMetrics:
    """The metrics of gRFC A66 for servers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Series(
            Counter,
            "grpc_server_call_started",
            "Number of gRPC calls that began. Health checks and reflection are left out. An unknown method is `other`.",
            ["grpc_method"],
            registry=registry,
        )
        self._seconds = Series(
            Histogram,
            "grpc_server_call_duration_seconds",
            "Time from the arrival of a gRPC call to its end.",
            _GRPC,
            buckets=GRPC_SECONDS,
            registry=registry,
        )
        self._sent = Series(
            Histogram,
            "grpc_server_call_sent_total_compressed_message_size_bytes",
            "Size of all messages that a call sent. gRPC for Python shows the size before compression only.",
            _GRPC,
            buckets=GRPC_BYTES,
            registry=registry,
        )
        self._received = Series(
            Histogram,
            "grpc_server_call_rcvd_total_compressed_message_size_bytes",
            "Size of all messages that a call received. gRPC for Python shows the decompressed size only.",
            _GRPC,
            buckets=GRPC_BYTES,
            registry=registry,
        )

    def count(self, record: RequestRecord) -> None:
        labels = (record.route, record.status)
        self._seconds.of(*labels).observe(record.seconds)
        self._sent.of(*labels).observe(record.sent_bytes)
        self._received.of(*labels).observe(record.received_bytes)


class _RankingMetrics:
    """The metrics of rankings, over gRPC and REST."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def seconds(name: str, documentation: str) -> Series[Histogram]:
            return Series(Histogram, name, documentation, ["model"], buckets=PART_SECONDS, registry=registry)

        self._keys: dict[str, set[str]] = {}
        """Names of keys in the series of each model."""
        self._queue = seconds(
            "rerank_queue_duration_seconds",
            "Time of a request from its first queued pair to the start of its first batch.",
        )
        self._tokenize = seconds(
            "rerank_tokenize_duration_seconds", "Time in which the texts of a request were read and tokenized."
        )
        self._inference = seconds(
            "rerank_inference_duration_seconds",
            "Time of a request from the start of its first batch to the end of its last one.",
        )
        self._forecast_error = Series(
            Histogram,
            "rerank_forecast_error_seconds",
            "Difference between the time of a unary request and the forecast by which admission accepted it: `late` "
            "requests took longer, `early` ones less.",
            ["model", "direction"],
            buckets=PART_SECONDS,
            registry=registry,
        )
        self._documents = Series(
            Counter,
            "rerank_documents",
            "Number of documents of accepted requests, by the name of the API key.",
            ["model", "key"],
            registry=registry,
        )
        self._refused = Series(
            Counter,
            "rerank_refused",
            "Number of requests that ended with an error, by the kind of the error. Requests whose deadline passed are "
            "in rerank_expired_total.",
            ["reason", "key"],
            registry=registry,
        )
        self._expired = Series(
            Counter,
            "rerank_expired",
            "Number of requests whose deadline passed before they were finished.",
            ["key"],
            registry=registry,
        )

    def begin(self, models: Iterable[str], keys: frozenset[str]) -> None:
        for model in models:
            self._keys.setdefault(model, set())
            for series in (self._queue, self._tokenize, self._inference):
                series.of(model)
        self._refused.of(Unauthenticated.kind, "")
        for key in keys | {""}:
            self._expired.of(key)
            for error in _FAILURES:
                self._refused.of(error.kind, key)

    def keep_keys(self, names: Container[str]) -> None:
        for series in (self._documents, self._refused, self._expired):  # the key is their last label
            for labels in series.labels:
                if labels[-1] and labels[-1] not in names:
                    series.remove(*labels)
        for model, keys in self._keys.items():
            self._keys[model] = {key for key in keys if key in names or not key}

    def keep_models(self, names: Container[str]) -> None:
        for model in [model for model in self._keys if model not in names]:
            ended: list[tuple[Series[Any], tuple[str, ...]]] = [
                *((series, (model,)) for series in (self._queue, self._tokenize, self._inference)),
                *((self._forecast_error, (model, direction)) for direction in ("late", "early")),
                *((self._documents, (model, key)) for key in self._keys.pop(model)),
            ]
            for series, labels in ended:
                series.remove(*labels)

    def count(self, record: RequestRecord) -> None:
        if record.ranked or record.forecast_error is not None:
            self._keys.setdefault(record.model, set()).add(record.key)
        if record.ranked:
            self._documents.of(record.model, record.key).inc(record.documents)
            self._queue.of(record.model).observe(record.queue)
            self._tokenize.of(record.model).observe(record.tokenize)
            self._inference.of(record.model).observe(record.inference)
        if record.forecast_error is not None:
            direction = "late" if record.forecast_error > 0 else "early"
            self._forecast_error.of(record.model, direction).observe(abs(record.forecast_error))
        if record.failure is None:
            return
        if record.failure.kind == DeadlinePassed.kind:
            self._expired.of(record.key).inc()
        else:
            self._refused.of(record.failure.kind, record.key).inc()
