"""Metrics in the form of Prometheus, at /metrics. docs/metrics.md lists them."""
