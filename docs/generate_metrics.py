"""Print docs/metrics.md, generated from the metrics of a server: `make docs`."""

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.metric_catalog import Series, catalog

_INTRODUCTION = """# Metrics

Metrics of a server for Prometheus. This page is generated from `service/rerank_service/metrics/` by `make docs`.

- **Path:** `/metrics`, in the text format of Prometheus, or OpenMetrics if the client asks for it.
- **Port:** with `--metrics-port`, a port of its own, without TLS and without a check of API keys. It also has
  `/health/live`. On [Kubernetes](../deploy/README.md#metrics) it is 9090. Otherwise, the REST port: a server with API
  keys then requires one (`authorization` in the scrape configuration).
- **Dashboard, alerts and ServiceMonitor:** [deploy/monitoring](../deploy/monitoring).

## Labels

No label has a value that a caller can choose, so callers cannot add series.

| label | value |
|---|---|
| `model` | The served name, never the name in the request. |
| `key` | The name in the file of API keys. Removed keys have no series. Empty: no key, or one without a name. |
| `file` | `models`, `keys` or `tls`: files that the server reads again when they change, if they are set. |
| `reason` | The kind of an error, such as `overloaded`. The access log has the exact reason. |
| `grpc_method` | A method of the server, such as `rerank.v1.Rerank/Rerank`; `other` for any other one. |
| `http_route` | The template of a path, such as `/v1/models/{model:path}`; `other` for an unknown path. |
| `http_request_method` | The method; `_OTHER` for one that HTTP does not define. |
| `grpc_status`, `http_response_status_code` | The status of the response. 499: the client closed the connection. |

## Names

`grpc_server_…` are those of [gRFC A66](https://github.com/grpc/proposal/blob/master/A66-otel-stats.md), and
`http_server_request_duration_seconds` is that of
[OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/), each with its labels and buckets. So
dashboards for these names work. `process_…` are those of all servers with a Prometheus client, on Linux.

Health checks, reflection, `/metrics` and files of the playground are not counted, unless they end with 401, 403, 404,
405 or 500. Requests that gRPC or uvicorn rejects itself, such as a
message beyond `--max-message-bytes` or an invalid HTTP header, reach neither the metrics nor the access log.
"""
_HEAD = "| metric | type | labels | meaning |\n|---|---|---|---|"
_GROUPS = {"rerank_": "Rankings", "grpc_": "gRPC", "http_": "REST", "process_": "Process"}


def page() -> str:
    """Return the page: a table for each group of metrics."""
    parts = [_INTRODUCTION]
    for prefix, heading in _GROUPS.items():
        rows = [series for series in catalog() if series.name.startswith(prefix)]
        parts.append("\n".join((f"## {heading}\n", _HEAD, *map(_row, rows), "")))
    return "\n".join(parts).rstrip()


def _row(series: Series) -> str:
    return f"| `{series.name}` | {series.kind} | {_codes(series.labels)} | {series.documentation} |"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(page())
