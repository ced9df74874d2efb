"""Every series is documented: in docs/metrics.md, and nothing else is."""

import re
from pathlib import Path

from support.metric_catalog import catalog

_PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
PROMISED = {
    "grpc_server_call_started_total",
    "grpc_server_call_duration_seconds",
    "grpc_server_call_sent_total_compressed_message_size_bytes",
    "grpc_server_call_rcvd_total_compressed_message_size_bytes",
    "http_server_request_duration_seconds",
    "rerank_ready",
    "rerank_requests_waiting",
    "rerank_requests_running",
    "rerank_backlog_seconds",
    "rerank_queue_duration_seconds",
    "rerank_tokenize_duration_seconds",
    "rerank_inference_duration_seconds",
    "rerank_pairs_total",
    "rerank_batches_total",
    "rerank_tokens_total",
    "rerank_forecast_error_seconds",
    "rerank_refused_total",
    "rerank_expired_total",
    "rerank_cache_hits_total",
    "rerank_lane_busy_seconds_total",
    "rerank_lanes",
    "rerank_max_connections",
    "rerank_event_loop_blocked_seconds",
    "rerank_model_info",
    "rerank_build_info",
    "rerank_config_last_reload_successful",
    "rerank_tls_certificate_expiry_timestamp_seconds",
}
"""Names that operators rely on. A change of one breaks dashboards."""


def test_every_metric_is_documented_with_its_labels() -> None:
    """The page has a row for each metric, and no other rows."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| .+ \|$", _PAGE, re.MULTILINE)
    documented = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {(series.name, series.kind, series.labels) for series in catalog()}


def test_documented_labels_are_all_labels() -> None:
    """Each has a row in the table of labels, or stands in the text of its metric."""
    for label in {label for series in catalog() for label in series.labels}:
        assert f"`{label}`" in _PAGE


def test_metrics_have_the_promised_names() -> None:
    """They are the field's names, or those of the first release."""
    assert {series.name for series in catalog()} >= PROMISED
