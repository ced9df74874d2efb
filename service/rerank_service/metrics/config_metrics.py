"""Metrics of the files that the server reads again when they change. Pure."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from rerank_service.metrics.config_state import ConfigState


def config_metrics(state: ConfigState) -> Iterator[Metric]:
    """Yield the metrics of a state."""
    reloads = GaugeMetricFamily(
        "rerank_config_last_reload_successful",
        "1 if the last reload of a file succeeded, or if it is unchanged. 0 if the new content is wrong, and the "
        "server uses the one from before. `file` is `models` (with `--watch`), `keys` or `tls`, if it is set.",
        labels=["file"],
    )
    for file, up_to_date in state.up_to_date.items():
        reloads.add_metric([file], up_to_date)
    yield reloads
    expiry = GaugeMetricFamily(
        "rerank_tls_certificate_expiry_timestamp_seconds",
        "Time when the first certificate of the server's chain in use expires, in seconds since 1970. Not there "
        "without TLS.",
    )
    if state.certificate_expires is not None:
        expiry.add_metric([], state.certificate_expires)
    yield expiry
