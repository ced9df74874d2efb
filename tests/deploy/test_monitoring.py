"""Alerts, dashboard and ServiceMonitor: each expression is PromQL, and asks for metrics and labels that exist."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grpc import StatusCode

from rerank_service.errors import DeadlinePassed, RateLimited, RequestError
from rerank_service.lifecycle.model_control_errors import NoMemory
from support.manifests import settings_of
from support.metric_catalog import catalog
from support.promql_values import series_of

_DEPLOY = Path(__file__).parents[2] / "deploy"
_MONITORING = _DEPLOY / "monitoring"
_RULES = yaml.safe_load((_MONITORING / "prometheus-rule.yaml").read_text())["spec"]["groups"][0]["rules"]
_ALERTS = [rule for rule in _RULES if "alert" in rule]
_PAGES = tomllib.loads((_DEPLOY.parent / "pyproject.toml").read_text())["project"]["urls"]["Changelog"].rpartition("/")[
    0
]
_DASHBOARD = json.loads((_MONITORING / "dashboard.json").read_text())
_MONITOR = yaml.safe_load((_MONITORING / "service-monitor.yaml").read_text())
_SCRAPED = frozenset({"namespace", "job", "instance"})
"""Labels that Prometheus adds; `namespace` on Kubernetes."""
_METRICS = {name: labels | _SCRAPED for series in catalog() for name, labels in series.queried.items()} | {
    "up": _SCRAPED,
    "kube_pod_container_status_restarts_total": frozenset({"namespace", "job", "pod", "container"}),
    **{rule["record"]: frozenset({"namespace", "job"}) for rule in _RULES if "record" in rule},
}
_GRAFANA = {"$__rate_interval": "5m", "$job": "rerank", "$namespace": ".*", "$model": ".*"}


def _dashboard_expressions() -> Iterator[str]:
    for panel in _DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield _without_variables(target["expr"])


def _without_variables(expression: str) -> str:
    for name, value in _GRAFANA.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


EXPRESSIONS = [*(rule["expr"] for rule in _RULES), *_dashboard_expressions()]


def _parts(node: Any) -> Iterator[Any]:
    """Yield an expression and all expressions in it."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        if getattr(node, name, None) is not None:
            yield from _parts(getattr(node, name))
    for argument in getattr(node, "args", None) or ():
        yield from _parts(argument)


def _selectors(expression: str) -> list[Any]:
    return [part for part in _parts(promql_parser.parse(expression)) if isinstance(part, promql_parser.VectorSelector)]


def _errors(error: type[RequestError]) -> Iterator[type[RequestError]]:
    """Yield a class of errors and all classes below it."""
    yield error
    for each in error.__subclasses__():
        yield from _errors(each)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_use_metrics_and_labels_that_exist(expression: str) -> None:
    """A renamed metric would leave an alert silent."""
    selectors = _selectors(expression)
    assert selectors
    for selector in selectors:
        assert selector.name in _METRICS, selector.name
        assert {matcher.name for matcher in selector.matchers.matchers} <= _METRICS[selector.name]
    available = frozenset.union(*(_METRICS[selector.name] for selector in selectors))
    for part in _parts(promql_parser.parse(expression)):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= available
        if isinstance(part, promql_parser.BinaryExpr) and part.modifier is not None and part.modifier.matching:
            assert set(part.modifier.matching.labels) <= available


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_alerts_select_the_job_and_known_reasons(rule: Any) -> None:
    """`job` is set by the ServiceMonitor. A misspelt reason would never match."""
    for selector in _selectors(rule["expr"]):
        values = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert values.get("job", "rerank") == "rerank"
        assert "job" in values or ":" in selector.name or values.get("container") == "rerank"
        assert set(values.get("reason", "internal").split("|")) <= {error.kind for error in _errors(RequestError)}
        assert values.get("direction", "late") in ("late", "early")


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_alerts_keep_the_namespace(rule: Any) -> None:
    """Otherwise a healthy namespace, such as a staging one, hides another one in which no replica responds."""
    for part in _parts(promql_parser.parse(rule["expr"])):
        if isinstance(part, promql_parser.AggregateExpr):
            assert part.modifier is not None
            assert part.modifier.type == promql_parser.AggModifierType.By
            assert {"namespace", "job"} <= set(part.modifier.labels)


def test_each_error_that_callers_cannot_avoid_has_an_alert() -> None:
    """Their status is 429, 500, 503 or 504. The limits of a key are wanted; an operator sees a failed load."""
    codes = (
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
    )
    kinds = {error.kind for error in _errors(RequestError) if error.code in codes} - {RateLimited.kind, NoMemory.kind}
    selected = set()
    for selector in (each for alert in _ALERTS for each in _selectors(alert["expr"])):
        if selector.name == "rerank_expired_total":
            selected.add(DeadlinePassed.kind)
        for matcher in selector.matchers.matchers:
            if matcher.name == "reason":
                selected |= set(matcher.value.split("|"))
    assert kinds <= selected


def _alerts(alert: str, samples: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Return the values of an alert that fires, by instance; "" for one without an instance."""
    (rule,) = [each for each in _ALERTS if each["alert"] == alert]
    recorded = {each["record"]: series_of(each["expr"], samples) for each in _RULES if "record" in each}
    return series_of(rule["expr"], {**samples, **recorded})


def _fires(alert: str, samples: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Return the instances for which an alert fires; "" for one without an instance."""
    return set(_alerts(alert, samples))


@pytest.mark.parametrize(("restarts", "fires"), [(0.0, False), (2.0, False), (3.0, True)])
def test_container_that_ends_before_it_is_scraped_fires_an_alert(restarts: float, fires: bool) -> None:
    """kube-state-metrics counts its restarts. The server has no series then."""
    samples = {"kube_pod_container_status_restarts_total": {"pod": restarts}}
    assert _fires("RerankRestarts", samples) == ({"pod"} if fires else set())
    assert _fires("RerankRestarts", {"process_start_time_seconds": {"a": restarts}}) == ({"a"} if fires else set())


def _refused(reason: str) -> str:
    return f'rerank_refused_total{{reason="{reason}"}}'


_SHARES = {
    "RerankErrors": [_refused("internal"), _refused("inference_failed"), _refused("out_of_memory")],
    "RerankOverloaded": [_refused("overloaded")],
    "RerankUnavailable": [_refused("not_ready"), _refused("deadline_exceeded")],
    "RerankDeadlinesPassed": ["rerank_expired_total"],
}
"""Alerts about shares of requests, with the counters of each."""


@pytest.mark.parametrize(
    ("alert", "counter"), [(alert, each) for alert, counters in _SHARES.items() for each in counters]
)
@pytest.mark.parametrize(("accepted", "failed", "fires"), [(1.0, 0.005, False), (1.0, 0.05, True), (0.0, 0.05, True)])
def test_mistakes_of_callers_hide_no_failures(
    alert: str, counter: str, accepted: float, failed: float, fires: bool
) -> None:
    """A caller without a valid key that repeats its calls may send far more requests than all others."""
    samples = {
        "http_server_request_duration_seconds_count": {"a": 100.0 + accepted},
        "grpc_server_call_duration_seconds_count": {"a": 100.0},
        "rerank_queue_duration_seconds_count": {"a": accepted},
        _refused("invalid_api_key"): {"a": 100.0},
        _refused("rate_limited"): {"a": 100.0},
        counter: {"a": failed},
    }
    assert _fires(alert, samples) == ({""} if fires else set())
    assert all(not _fires(each, samples) for each in _SHARES if each != alert)


@pytest.mark.parametrize(
    ("alert", "counter"), [(alert, each) for alert, counters in _SHARES.items() for each in counters]
)
def test_share_without_accepted_requests_is_one(alert: str, counter: str) -> None:
    """The description shows 100 %, not an infinite share. Such a failure may end a request before admission."""
    samples = {"rerank_queue_duration_seconds_count": {"a": 0.0}, _refused("overloaded"): {"a": 0.0}}
    assert _alerts(alert, samples | {counter: {"a": 0.05}}) == {"": 1.0}
    assert _alerts(alert, samples | {counter: {"a": 0.0}}) == {}


def test_mistakes_of_callers_alone_fire_no_alert_about_shares() -> None:
    """Prometheus has series of rankings from the first scrape on."""
    begun = {_refused(each): {"a": 0.0} for each in ("overloaded", "not_ready", "deadline_exceeded", "internal")}
    samples = {
        "rerank_queue_duration_seconds_count": {"a": 0.0},
        "rerank_expired_total": {"a": 0.0},
        _refused("invalid_request"): {"a": 100.0},
        **begun,
    }
    assert not any(_fires(alert, samples) for alert in _SHARES)


@pytest.mark.parametrize(
    ("up", "ready", "down", "replicas"),
    [
        pytest.param({"a": 1, "b": 1}, {"a": 1, "b": 1}, False, set(), id="all ready"),
        pytest.param({"a": 1, "b": 1}, {"a": 1, "b": 0}, False, {"b"}, id="one loads"),
        pytest.param({"a": 1, "b": 1}, {"a": 0, "b": 0}, True, {"a", "b"}, id="all drained"),
        pytest.param({"a": 0, "b": 1}, {"b": 1}, False, {"a"}, id="one gone"),
        pytest.param({"a": 0, "b": 1}, {"b": 0}, True, {"a", "b"}, id="one gone, one loads"),
        pytest.param({"a": 0, "b": 0}, {}, True, {"a", "b"}, id="all gone"),
        pytest.param({"a": 1, "b": 1}, {"b": 0}, False, {"b"}, id="version without the metric serves"),
        pytest.param({}, {}, True, set(), id="no replica known"),
    ],
)
def test_alerts_of_replicas_that_serve_nobody(
    up: Mapping[str, float], ready: Mapping[str, float], down: bool, replicas: set[str]
) -> None:
    """The metrics port responds while models load, after a drain and without models, so that `up` is 1 then."""
    samples = {"up": up, "rerank_ready": ready}
    assert _fires("RerankDown", samples) == ({""} if down else set())
    assert _fires("RerankReplicaDown", samples) == replicas


def test_one_full_port_fires_an_alert() -> None:
    """The limit of open files is above the connections of all ports together, so that a full port is far below it."""
    pod = yaml.safe_load((_DEPLOY / "base" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    settings = settings_of({variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]})
    for connections, fires in ((0, False), (settings.max_connections // 2, False), (settings.max_connections, True)):
        samples = {
            "process_open_fds": {"a": 20.0 + connections},
            "process_max_fds": {"a": 1048576.0},
            "rerank_max_connections": {"a": float(settings.max_connections)},
        }
        assert (_fires("RerankFileDescriptors", samples) != set()) is fires


def test_there_are_fourteen_alerts_that_say_what_to_do() -> None:
    """Each has a severity, a summary, a description with the next step, and a section of docs/operations.md."""
    titles = re.findall(r"^#+ (.*)$", (_DEPLOY.parent / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert len({alert["alert"] for alert in _ALERTS}) == len(_ALERTS) == 14
    for alert in _ALERTS:
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"runbook_url", "summary", "description"}
        assert alert["alert"] in titles
        assert alert["annotations"]["runbook_url"] == f"{_PAGES}/docs/operations.md#{alert['alert'].lower()}"


def test_network_policy_opens_the_port_of_the_service_monitor() -> None:
    """For the pods of the server, and nobody else."""
    policy = yaml.safe_load((_MONITORING / "network-policy.yaml").read_text())["spec"]
    base = yaml.safe_load((_DEPLOY / "base" / "network-policy.yaml").read_text())["spec"]
    assert policy["podSelector"] == base["podSelector"]
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == [endpoint["port"] for endpoint in _MONITOR["spec"]["endpoints"]]
    assert rule["from"]


def test_service_monitor_finds_one_address_of_each_pod() -> None:
    """One Service has the port for metrics, and one family of addresses, so that no pod is scraped twice."""
    folders = (_DEPLOY / "base", _MONITORING)
    services = [yaml.safe_load(path.read_text()) for folder in folders for path in folder.glob("service*.yaml")]
    (endpoint,) = _MONITOR["spec"]["endpoints"]
    selected = [
        service
        for service in services
        if service["kind"] == "Service"
        and _MONITOR["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    ]
    assert [service["metadata"]["name"] for service in selected] == ["rerank-metrics"]
    assert selected[0]["metadata"]["labels"][_MONITOR["spec"]["jobLabel"]] == "rerank"
    assert selected[0]["spec"]["ipFamilyPolicy"] == "SingleStack"
    pod = yaml.safe_load((_DEPLOY / "base" / "deployment.yaml").read_text())["spec"]["template"]
    assert selected[0]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    (served,) = selected[0]["spec"]["ports"]
    assert served["port"] == ports[served["targetPort"]]


def test_dashboard_is_complete() -> None:
    """Panels have numbers of their own, do not overlap, and use the variable of the data source."""
    panels = _DASHBOARD["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in panels
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"${datasource}"}
    for variable in _DASHBOARD["templating"]["list"][1:]:
        metric = re.match(r"label_values\((\w+)", variable["query"])
        assert metric is not None
        assert metric[1] in _METRICS


def test_dashboard_selects_job_and_namespace() -> None:
    """So that the replicas of a staging namespace are not shown with others."""
    for expression in _dashboard_expressions():
        for selector in _selectors(expression):
            assert {"job", "namespace"} <= {matcher.name for matcher in selector.matchers.matchers}


def test_busy_lanes_are_shares_of_the_lanes_of_each_model() -> None:
    """Models with different numbers of lanes share one pool: the sum of their shares is at most 1 (lane_shares.py)."""
    (panel,) = [each for each in _DASHBOARD["panels"] if each["title"] == "Busy lanes"]
    outer: Any = promql_parser.parse(_without_variables(panel["targets"][0]["expr"]))
    busy, lanes = outer.expr.lhs, outer.expr.rhs
    assert (str(outer.op), str(outer.expr.op), str(busy.op), lanes.name) == ("sum", "/", "sum", "rerank_lanes")
    assert {selector.name for selector in _parts(busy) if isinstance(selector, promql_parser.VectorSelector)} == {
        "rerank_lane_busy_seconds_total"
    }
    assert set(busy.modifier.labels) == set(outer.expr.modifier.matching.labels) == {"instance", "model"}
    assert outer.modifier.labels == ["instance"]


def test_component_lists_every_file() -> None:
    """It lists no other files."""
    component = yaml.safe_load((_MONITORING / "kustomization.yaml").read_text())
    listed = {*component["resources"], *component["configMapGenerator"][0]["files"], "kustomization.yaml"}
    assert listed == {path.name for path in _MONITORING.iterdir()}
