"""Kubernetes manifests of the base: valid, and consistent with each other, with the settings and with their README."""

import json
import re

import kubernetes_validate
import pytest

import rerank_service
from rerank.v1 import rerank_pb2
from rerank_service.api.http.liveness import LIVE
from rerank_service.settings import Settings
from support.manifests import DEPLOY, KUBERNETES, read_manifest, settings_of

READINESS = rerank_pb2.DESCRIPTOR.services_by_name["Rerank"].full_name
BASE = DEPLOY / "base"
README = (DEPLOY / "README.md").read_text()
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
MANIFESTS = {
    path.name: read_manifest(path) for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"
}
SERVICES = [manifest for manifest in MANIFESTS.values() if manifest["kind"] == "Service"]
DEPLOYMENT = MANIFESTS["deployment.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
SETTINGS = settings_of({variable["name"]: variable["value"] for variable in CONTAINER["env"]})


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_valid(name: str, version: str) -> None:
    """Unknown fields are errors."""
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_kustomization_lists_every_manifest() -> None:
    """It lists no other files."""
    assert read_manifest(BASE / "kustomization.yaml")["resources"] == sorted(MANIFESTS)


def test_versions_equal_the_package_version() -> None:
    """Image tags and the version label equal the version of the package."""
    base = read_manifest(BASE / "kustomization.yaml")
    assert base["images"] == [{"name": CONTAINER["image"], "newTag": rerank_service.__version__}]
    assert base["labels"][0]["pairs"]["app.kubernetes.io/version"] == rerank_service.__version__
    gpu = read_manifest(DEPLOY / "components" / "gpu" / "kustomization.yaml")
    assert gpu["images"] == [{"name": CONTAINER["image"], "newTag": f"{rerank_service.__version__}-gpu"}]
    assert set(re.findall(r"rerank-service:([\w.]+)", README)) == {rerank_service.__version__}


def test_every_selector_matches_the_pods() -> None:
    """Deployment, services, disruption budget, network policy and topology spread select the same pods."""
    pods = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert [service["spec"]["selector"] for service in SERVICES] == [pods] * 2
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["pod-disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == pods
    for spread in POD["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == pods


def test_ports_equal_the_default_settings() -> None:
    """The container lists the ports of the server. Metrics have a port of their own, which callers do not reach."""
    assert DEFAULTS["metrics_port"] is None
    metrics = next(int(one["value"]) for one in CONTAINER["env"] if one["name"] == "RERANK_METRICS_PORT")
    expected = [("grpc", DEFAULTS["grpc_port"]), ("http", DEFAULTS["rest_port"]), ("metrics", metrics)]
    assert list(PORTS.items()) == expected


@pytest.mark.parametrize(("name", "ports"), [("service.yaml", ["grpc", "http"]), ("service-headless.yaml", ["grpc"])])
def test_service_ports_equal_the_container_ports(name: str, ports: list[str]) -> None:
    """Names and numbers are equal."""
    served = MANIFESTS[name]["spec"]["ports"]
    assert [port["name"] for port in served] == [port["targetPort"] for port in served] == ports
    assert [port["port"] for port in served] == [PORTS[port] for port in ports]


def test_headless_service_has_no_cluster_ip() -> None:
    """Without a cluster IP, DNS returns the addresses of the pods."""
    assert MANIFESTS["service-headless.yaml"]["spec"]["clusterIP"] == "None"


def test_network_policy_allows_only_the_ports_for_callers() -> None:
    """Ingress to the ports for callers, not to the one for metrics; no egress."""
    policy = MANIFESTS["network-policy.yaml"]["spec"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == ["grpc", "http"]
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_liveness_does_not_depend_on_the_connections_of_callers() -> None:
    """A port on which callers hold all connections closes those of the kubelet, too. The pod would be killed."""
    probe = CONTAINER["livenessProbe"]["httpGet"]
    assert probe == {"path": LIVE, "port": "metrics"}
    assert SETTINGS.metrics_port == PORTS["metrics"]
    assert "metrics" not in {port["port"] for port in MANIFESTS["network-policy.yaml"]["spec"]["ingress"][0]["ports"]}


def test_probes_cover_both_ports() -> None:
    """A pod starts only if gRPC responds. A pod whose REST port is dead is not ready."""
    assert CONTAINER["startupProbe"]["grpc"] == {"port": DEFAULTS["grpc_port"], "service": READINESS}
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}


def test_services_have_all_families_of_the_cluster() -> None:
    """The default would be the first family of the cluster."""
    assert {service["spec"]["ipFamilyPolicy"] for service in SERVICES} == {"PreferDualStack"}


def test_server_listens_on_all_interfaces() -> None:
    """Probes of the kubelet do not come from the loopback interface. A cluster may have IPv4, IPv6 or both."""
    assert SETTINGS.host == ("::",)


def test_pod_has_time_to_drain() -> None:
    """The kubelet counts the time of preStop, too, so it waits longer than preStop, drain delay and grace period."""
    pre_stop = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert min(pre_stop, SETTINGS.drain_delay) > 0
    assert POD["terminationGracePeriodSeconds"] > pre_stop + SETTINGS.drain_delay + SETTINGS.grace


def test_pod_finishes_each_request_that_sets_no_deadline() -> None:
    """A rollout loses none of them."""
    assert SETTINGS.grace >= SETTINGS.default_timeout


def test_rollout_is_slower_than_the_look_ups_of_grpc() -> None:
    """A channel looks up DNS at most every 30 s, so it knows a new pod before the next old one stops."""
    assert DEPLOYMENT["spec"]["minReadySeconds"] > 30
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_rollout_waits_for_a_slow_start() -> None:
    """`kubectl rollout status` fails after the deadline. Most of it is for image and bundle."""
    probe = CONTAINER["startupProbe"]
    start = probe["periodSeconds"] * probe["failureThreshold"] + DEPLOYMENT["spec"]["minReadySeconds"]
    deadline = DEPLOYMENT["spec"]["progressDeadlineSeconds"]
    assert deadline >= 4 * start
    for page in (README, (DEPLOY.parent / "docs" / "operations.md").read_text()):
        assert "`progressDeadlineSeconds`" in page
        assert f"{deadline:,}" in page


def test_service_links_are_off() -> None:
    """Otherwise Kubernetes sets RERANK_GRPC_PORT for a service named rerank-grpc."""
    assert POD["enableServiceLinks"] is False


def test_pod_has_minimal_rights() -> None:
    """No root, no capabilities, a read-only root, no token: more than the Pod Security level `restricted`."""
    user = POD["securityContext"]
    assert user["runAsNonRoot"]
    assert user["runAsUser"] > 0
    # a block volume belongs to root: without its group, the server could not write to a cache on it
    assert user["fsGroup"] == user["runAsGroup"] > 0
    assert user["fsGroupChangePolicy"] == "OnRootMismatch"
    assert user["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    account = MANIFESTS["service-account.yaml"]
    assert POD["serviceAccountName"] == account["metadata"]["name"]
    assert POD["automountServiceAccountToken"] is account["automountServiceAccountToken"] is False


def _readme_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_readme_addresses_are_services() -> None:
    """Every name and port in the README belongs to a service."""
    ports = {service["metadata"]["name"]: [port["port"] for port in service["spec"]["ports"]] for service in SERVICES}
    addresses = re.findall(r"///?([\w-]+):(\d+)", README)
    assert {name for name, _ in addresses} == set(ports)
    assert all(int(port) in ports[name] for name, port in addresses)


def test_readme_service_config_uses_readiness() -> None:
    """Clients watch the readiness service of the server."""
    (config,) = map(json.loads, _readme_blocks("json"))
    assert config["healthCheckConfig"]["serviceName"] == READINESS
