"""Autoscaling: HPA, the rule of its metric, and KEDA ask for the same thing, and in PromQL."""

from pathlib import Path
from typing import Any

import promql_parser
import pytest

from support.manifests import DEPLOY, read_manifest
from support.metric_catalog import catalog

_METRIC = "rerank_backlog_seconds"
_HPA = read_manifest(DEPLOY / "components" / "hpa" / "horizontal-pod-autoscaler.yaml")["spec"]
_KEDA = read_manifest(DEPLOY / "components" / "keda" / "scaled-object.yaml")["spec"]
_RULES = read_manifest(DEPLOY / "components" / "hpa" / "prometheus-adapter-values.yaml")["rules"]["custom"]
_TRIGGER = _KEDA["triggers"][0]["metadata"]


def _selector(expression: str) -> tuple[str, dict[str, str]]:
    """Return the metric of an expression with one selector, and the values of its labels."""
    node: Any = promql_parser.parse(expression)
    while not isinstance(node, promql_parser.VectorSelector):
        node = getattr(node, "expr", None) or getattr(node, "vector_selector", None) or node.args[0]
    return str(node.name), {matcher.name: matcher.value for matcher in node.matchers.matchers}


def test_metric_is_one_series_of_each_pod() -> None:
    """KEDA adds up all series. With a label, a pod would have several."""
    (series,) = [one for one in catalog() if _METRIC in one.queried]
    assert series.queried[_METRIC] == frozenset()


def test_both_autoscalers_have_the_same_goal() -> None:
    """The same pods, limits, target value and speed."""
    deployment = read_manifest(DEPLOY / "base" / "deployment.yaml")["metadata"]["name"]
    assert _HPA["scaleTargetRef"]["name"] == _KEDA["scaleTargetRef"]["name"] == deployment
    assert (_HPA["minReplicas"], _HPA["maxReplicas"]) == (_KEDA["minReplicaCount"], _KEDA["maxReplicaCount"])
    assert _HPA["behavior"] == _KEDA["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert _HPA["metrics"][0]["pods"]["target"] == {"type": "AverageValue", "averageValue": "500m"}
    assert (_KEDA["triggers"][0]["metricType"], _TRIGGER["threshold"]) == ("AverageValue", "0.5")


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("examples/*/limits.yaml")), ids=lambda path: path.parent.name)
def test_examples_keep_two_pods(path: Path) -> None:
    """A rollout with GPUs stops a pod before the new one starts (`maxSurge: 0`). With one pod, nothing would serve."""
    assert read_manifest(path)["spec"]["minReplicaCount"] >= 2


def test_a_pod_is_removed_alone() -> None:
    """Below full load the backlog is about 0, which would remove too many pods at once."""
    (policy,) = _HPA["behavior"]["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert _HPA["behavior"]["scaleDown"]["stabilizationWindowSeconds"] > policy["periodSeconds"]


def test_queries_select_the_metric_of_the_job() -> None:
    """The job is that of the ServiceMonitor."""
    (rule,) = _RULES
    name, labels = _selector(rule["seriesQuery"])
    assert name == _HPA["metrics"][0]["pods"]["metric"]["name"] == _METRIC
    assert labels == {"job": "rerank", "namespace": "", "pod": ""}
    assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}
    assert _selector(_TRIGGER["query"]) == (_METRIC, {"job": "rerank"})


@pytest.mark.parametrize("labels", ['namespace="a",pod=~"rerank-1|rerank-2"'])
def test_rule_of_the_adapter_is_promql(labels: str) -> None:
    """After the adapter has filled in series, labels and grouping. A pod that two jobs scrape counts once."""
    query = _RULES[0]["metricsQuery"]
    for name, value in {"Series": _METRIC, "LabelMatchers": labels, "GroupBy": "pod"}.items():
        query = query.replace(f"<<.{name}>>", value)
    assert _selector(query) == (_METRIC, {"job": "rerank", "namespace": "a", "pod": "rerank-1|rerank-2"})


def test_lost_metric_leaves_the_number_of_pods() -> None:
    """By default, KEDA takes an empty result for 0, and would remove pods."""
    assert _TRIGGER["ignoreNullValues"] == "false"


@pytest.mark.parametrize("component", ["hpa", "keda"])
def test_autoscaler_owns_the_number_of_pods(component: str) -> None:
    """`kubectl apply` would set a number in the Deployment again."""
    patch = read_manifest(DEPLOY / "components" / component / "deployment.yaml")
    assert patch["spec"] == {"replicas": None}
