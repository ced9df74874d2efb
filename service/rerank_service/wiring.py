"""Convert the settings into the values that each part takes.

Rule: this file imports no FastAPI, uvicorn or gRPC server, so that `rerank eval`, `calibrate` and `tune` start fast.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.api.address import ListenAddress, TcpAddress
from rerank_service.api.api_keys_reload import ReloadedKeys
from rerank_service.api.auth import Keys
from rerank_service.api.client_address import TrustedProxies
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.http.options import ConnectionLimits, RestOptions
from rerank_service.api.request_observation import Observing
from rerank_service.api.tls.files import tls_files
from rerank_service.api.tls.store import CertificateStore
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import ExtraMissing, SettingsInvalid
from rerank_service.lifecycle.shutdown import ShutdownTimeouts
from rerank_service.metrics.config_state import ConfigFiles
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.catalog.reading import read_catalog
from rerank_service.models.files import STARTER, model_folder
from rerank_service.models.hosted_names import HOSTED_NAMES
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import Names
from rerank_service.models.tuning.startup import EngineRequest
from rerank_service.observability.access_log import AccessLog
from rerank_service.observability.request_record import Observers, RequestObserver
from rerank_service.ranking.limits import RequestLimits
from rerank_service.settings import Settings
from rerank_service.settings_errors import flag, variable

_SINGLE_MODEL = {"model": "bundle", "model_name": "name", "aliases": "aliases", "model_digest": "digest"}
"""Settings of a single model, with their fields in a models file."""

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def model_entries(settings: Settings) -> tuple[ModelEntry, ...]:
    """Return the models to serve, the default one first: those of `--models`, or the one of `--model`.

    Raises:
        SettingsInvalid: the models file is wrong, or the settings contradict each other.
    """
    if settings.models is None:
        if settings.watch and settings.model is None:
            raise SettingsInvalid("--watch or RERANK_WATCH is true, but no files change: set --models or --model, too")
        return (_single_entry(settings),)
    single = {name: value for name in _SINGLE_MODEL if (value := getattr(settings, name))}
    for name, value in single.items():
        raise SettingsInvalid(
            f"{flag(name)} or {variable(name)} is {_written(value)}, but --models or RERANK_MODELS is set, too: unset "
            f"one of them. The field {_SINGLE_MODEL[name]} of the models file has the same meaning"
        )
    return read_catalog(settings.models)


def model_options(entry: ModelEntry, settings: Settings) -> ModelOptions:
    """Return a model to load, and the engine and batch sizes to load it with."""
    provider = Provider(settings.provider) if entry.provider is Provider.AUTO else entry.provider
    precision = Precision(settings.precision) if entry.precision is Precision.AUTO else entry.precision
    return ModelOptions(
        folder=entry.folder,
        digest=entry.digest,
        cache=cache_folder(settings),
        requested=EngineRequest(provider, precision),
        lanes=entry.lanes or settings.lanes,
        max_batch_tokens=settings.max_batch_tokens,
        length_multiple=settings.length_multiple,
        max_batch_pairs=settings.max_batch_pairs,
        cuda_graphs=settings.cuda_graphs,
        names=Names(entry.name, entry.aliases),
        score_cache_bytes=settings.score_cache_bytes,
        tune_seconds=settings.tune_seconds,
    )


def single_model_options(settings: Settings) -> ModelOptions:
    """Return the options of the model that a command uses without a server.

    Raises:
        SettingsInvalid: only `--models` is set.
    """
    if settings.model is None and settings.models is not None:
        raise SettingsInvalid(
            f"RERANK_MODELS is {str(settings.models)!r}, and this command uses one model: choose it with --model"
        )
    return model_options(_single_entry(settings), settings)


def _single_entry(settings: Settings) -> ModelEntry:
    return ModelEntry(
        folder=STARTER if settings.model is None else model_folder(settings.model),
        place="starter model" if settings.model is None else "--model",
        name=settings.model_name,
        aliases=settings.aliases,
        digest=settings.model_digest,
    )


def _written(value: object) -> str:
    """Return the value of a setting as a variable has it."""
    return repr(",".join(value) if isinstance(value, tuple) else str(value))


def request_limits(settings: Settings) -> RequestLimits:
    """Return the limits of one request."""
    return RequestLimits(
        max_documents=settings.max_documents,
        max_stream_documents=settings.max_stream_documents,
        max_query_chars=settings.max_query_chars,
        max_document_chars=settings.max_document_chars,
        document_tokens=settings.document_tokens,
        window_tokens=settings.window_tokens,
        max_windows=settings.max_windows,
        max_highlighted_results=settings.max_highlighted_results,
    )


def empty_registry(settings: Settings) -> Registry:
    """Return a registry without models."""
    if not settings.hosted_names:
        return Registry(any_model=settings.any_model)
    return Registry(
        any_model=settings.any_model,
        default_names=HOSTED_NAMES,
        hosted_patterns=settings.hosted_name_patterns,
    )


def api_keys(settings: Settings, files: ConfigFiles | None = None) -> Keys:
    """Return the API keys that callers must send, and add their file to `files`, which metrics show.

    Raises:
        SettingsInvalid: the file of keys is wrong.
    """
    plain = [key.get_secret_value() for key in settings.api_keys]
    if settings.api_keys_file is None:
        return Keys(plain)
    file = ReloadedKeys(settings.api_keys_file)
    keys = Keys(plain, file.keys, changed=file.changed)

    def up_to_date() -> bool:
        keys.reload()  # an idle server has read the file long ago
        return file.up_to_date

    if files is not None:
        files.add("keys", up_to_date)
    return keys


def certificate_store(settings: Settings, files: ConfigFiles | None = None) -> CertificateStore | None:
    """Return the certificates of both servers, and add them to `files`, which metrics show. Return None if TLS is off.

    Raises:
        SettingsInvalid: a file of TLS is missing or wrong.
    """
    pems = tls_files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    if pems is None:
        return None
    store = CertificateStore(pems)
    if files is not None:
        files.add("tls", store.up_to_date)
        files.add_certificate(lambda: store.current().chain_expires)
    return store


def grpc_options(
    settings: Settings, addresses: tuple[ListenAddress, ...], tls: CertificateStore | None = None
) -> GrpcOptions:
    """Return the options of the gRPC server. `addresses` are those of `settings.host`."""
    return GrpcOptions(
        addresses=addresses,
        port=settings.grpc_port,
        max_message_bytes=settings.max_message_bytes,
        default_timeout=settings.default_timeout,
        max_connection_age=settings.max_connection_age,
        min_ping_interval=settings.min_ping_interval,
        keepalive_time=settings.keepalive_time,
        header_timeout=settings.header_timeout,
        progress_timeout=settings.progress_timeout,
        idle_timeout=settings.grpc_idle_timeout,
        max_connections=settings.max_connections,
        max_connection_calls=settings.max_connection_calls,
        tls=tls,
    )


def rest_options(
    settings: Settings, addresses: tuple[ListenAddress, ...], tls: CertificateStore | None = None
) -> RestOptions:
    """Return the options of the REST server. `addresses` are those of `settings.host`."""
    return RestOptions(
        addresses=addresses,
        port=settings.rest_port,
        max_body_bytes=settings.max_message_bytes,
        default_timeout=settings.default_timeout,
        cors_origins=settings.cors_origins,
        idle_timeout=settings.rest_idle_timeout,
        connections=ConnectionLimits(settings.max_connections, settings.header_timeout, settings.progress_timeout),
        tls=tls,
    )


def all_connections(settings: Settings, addresses: int) -> int:
    """Return the maximum number of connections to all sockets together. `addresses` is the number of those of
    `settings.host`."""
    ports = 2 + (settings.metrics_port is not None)
    sockets = ports * addresses + (settings.admin_port is not None) * len(settings.admin_host)
    return settings.max_connections * sockets


def metrics_options(settings: Settings, addresses: tuple[ListenAddress, ...]) -> RestOptions | None:
    """Return the options of the port for metrics; None if the REST port serves them.

    Raises:
        SettingsInvalid: the server listens on Unix sockets only.
    """
    if settings.metrics_port is None:
        return None
    tcp = tuple(each for each in addresses if isinstance(each, TcpAddress))
    if not tcp:
        raise SettingsInvalid(
            f"--metrics-port or RERANK_METRICS_PORT is {settings.metrics_port}, but --host or RERANK_HOST has Unix "
            "sockets only: add an address, such as 127.0.0.1, or remove the port"
        )
    return replace(
        rest_options(settings, addresses), addresses=tcp, port=settings.metrics_port, port_flag="--metrics-port"
    )


def tracer_provider(settings: Settings) -> "TracerProvider | None":
    """Return the provider that sends spans; None if traces are off.

    Raises:
        SettingsInvalid: OpenTelemetry is not installed, or one of its variables is wrong.
    """
    if settings.traces == "off":
        return None
    try:
        from rerank_service.tracing.provider import tracer_provider

        return tracer_provider()
    except ImportError as error:
        missing = ExtraMissing("OpenTelemetry", "otel")
        raise SettingsInvalid(f"--traces or RERANK_TRACES is {settings.traces!r}, but {missing}") from error


def observing(settings: Settings, metrics: RequestObserver, tracing: "TracerProvider | None" = None) -> Observing:
    """Return how requests are observed: by the access log, by `metrics`, and by traces with the provider `tracing`."""
    observer: RequestObserver = Observers(metrics, AccessLog(settings.access_log, log_texts=settings.log_texts))
    if tracing is not None:
        from rerank_service.tracing.traces import TracedRequests

        observer = TracedRequests(tracing, observer, trace_texts=settings.trace_texts)
    return Observing(
        observer=observer,
        proxies=TrustedProxies(settings.forwarded_allow_ips),
        keep_texts=settings.log_texts or (settings.trace_texts and tracing is not None),
        traced=tracing is not None,
    )


def shutdown_timeouts(settings: Settings) -> ShutdownTimeouts:
    """Return the times of a graceful shutdown."""
    return ShutdownTimeouts(delay=settings.drain_delay, grace=settings.grace)


def cache_folder(settings: Settings) -> Path:
    """Expand `~`. Without a home directory, as in some containers, return a path that cannot be written: no cache."""
    try:
        return settings.cache.expanduser()
    except RuntimeError:
        return Path(os.devnull) / "cache"
