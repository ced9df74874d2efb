"""Kubernetes manifests: valid, and consistent with each other, with the settings and with their README."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import rerank_service
from rerank.v1 import rerank_pb2
from rerank_service.api.grpc.server import LIVENESS
from rerank_service.cli import health_check
from rerank_service.settings import Settings

READINESS = rerank_pb2.DESCRIPTOR.services_by_name["Rerank"].full_name
DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "base"
GPU = DEPLOY / "overlays" / "gpu"
TLS = DEPLOY / "overlays" / "tls"
README = (DEPLOY / "README.md").read_text()
KUBERNETES = ("1.31", kubernetes_validate.latest_version())
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}

Manifest = dict[str, Any]


def _read(path: Path) -> Manifest:
    manifest: Manifest = yaml.safe_load(path.read_text())
    return manifest


MANIFESTS = {path.name: _read(path) for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"}
SERVICES = [manifest for manifest in MANIFESTS.values() if manifest["kind"] == "Service"]
DEPLOYMENT = MANIFESTS["deployment.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


def _settings(deployment: Manifest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that the server reads from the container's environment."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"]:
        assert variable["name"] in known
        monkeypatch.setenv(variable["name"], variable["value"])
    return Settings()


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_valid(name: str, version: str) -> None:
    """Unknown fields are errors."""
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_kustomization_lists_every_manifest() -> None:
    """It lists no other files."""
    assert _read(BASE / "kustomization.yaml")["resources"] == sorted(MANIFESTS)


def test_versions_equal_the_package_version() -> None:
    """Image tags and the version label equal the version of the package."""
    base = _read(BASE / "kustomization.yaml")
    assert base["images"] == [{"name": CONTAINER["image"], "newTag": rerank_service.__version__}]
    assert base["labels"][0]["pairs"]["app.kubernetes.io/version"] == rerank_service.__version__
    gpu = _read(GPU / "kustomization.yaml")
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


@pytest.mark.parametrize(
    ("name", "ports"), [("service.yaml", ["grpc", "http"]), ("service-headless.yaml", ["grpc", "metrics"])]
)
def test_service_ports_equal_the_container_ports(name: str, ports: list[str]) -> None:
    """Names and numbers are equal."""
    served = MANIFESTS[name]["spec"]["ports"]
    assert [port["name"] for port in served] == [port["targetPort"] for port in served] == ports
    assert [port["port"] for port in served] == [PORTS[port] for port in ports]


def test_headless_service_has_no_cluster_ip() -> None:
    """Without a cluster IP, DNS returns the addresses of the pods."""
    assert MANIFESTS["service-headless.yaml"]["spec"]["clusterIP"] == "None"


def test_network_policy_allows_only_the_container_ports() -> None:
    """Ingress to the container's ports; no egress."""
    policy = MANIFESTS["network-policy.yaml"]["spec"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == list(PORTS)
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(("probe", "service"), [("startup", READINESS), ("liveness", LIVENESS)])
def test_probes_use_health_services_of_the_server(probe: str, service: str) -> None:
    """Each of these probes names a health service on the gRPC port."""
    assert CONTAINER[f"{probe}Probe"]["grpc"] == {"port": DEFAULTS["grpc_port"], "service": service}


def test_probes_cover_both_ports() -> None:
    """A pod whose REST port is dead is not ready."""
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}


def test_tls_files_are_in_a_mounted_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the form of cert-manager and of `kubectl create secret tls`. A subPath would never be updated."""
    overlay = _read(TLS / "deployment.yaml")
    settings = _settings(overlay, monkeypatch)
    pod = overlay["spec"]["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    assert (settings.tls_cert, settings.tls_key) == tuple(
        Path(mount["mountPath"], name) for name in ("tls.crt", "tls.key")
    )
    assert mount == {"name": volume["name"], "mountPath": mount["mountPath"], "readOnly": True}
    (certificate,) = (yaml.safe_load(block) for block in _readme_blocks("yaml") if "\nkind: Certificate\n" in block)
    assert certificate["spec"]["secretName"] == volume["secret"]["secretName"]
    assert certificate["spec"]["dnsNames"] == sorted(service["metadata"]["name"] for service in SERVICES)


def test_probes_of_the_tls_overlay_replace_those_of_the_base() -> None:
    """The kubelet has no TLS for gRPC probes. A probe has exactly one handler, so the one of the base is removed."""
    container = _read(TLS / "deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        (handler,) = {"grpc", "httpGet"} & CONTAINER[name].keys()
        live = ["--live"] if name == "livenessProbe" else []
        assert container[name][handler] is None
        assert container[name]["exec"]["command"] == ["python3", "-m", health_check.__name__, *live]


def test_services_have_all_families_of_the_cluster() -> None:
    """The default would be the first family of the cluster."""
    assert {service["spec"]["ipFamilyPolicy"] for service in SERVICES} == {"PreferDualStack"}


@pytest.mark.parametrize("folder", [BASE, GPU, TLS], ids=lambda folder: folder.name)
def test_environment_variables_are_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting with a valid value."""
    _settings(_read(folder / "deployment.yaml"), monkeypatch)


def test_server_listens_on_all_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of the kubelet do not come from the loopback interface. A cluster may have IPv4, IPv6 or both."""
    assert _settings(DEPLOYMENT, monkeypatch).host == ("::",)


def test_pod_has_time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet waits longer than drain delay and grace period together."""
    settings = _settings(DEPLOYMENT, monkeypatch)
    assert settings.drain_delay > 0
    assert POD["terminationGracePeriodSeconds"] > settings.drain_delay + settings.grace


def test_service_links_are_off() -> None:
    """Otherwise Kubernetes sets RERANK_GRPC_PORT for a service named rerank-grpc."""
    assert POD["enableServiceLinks"] is False


def test_pod_has_minimal_rights() -> None:
    """No root, no capabilities, a read-only root, no token: more than the Pod Security level `restricted`."""
    user = POD["securityContext"]
    assert user["runAsNonRoot"]
    assert user["runAsUser"] > 0
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


@pytest.fixture(scope="session")
def kubectl() -> str:
    """Return the path of a kubectl that can render the kustomizations."""
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not installed")
    output = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version: str = json.loads(output.stdout)["clientVersion"]["gitVersion"]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 27):
        pytest.skip(f"kubectl {version} is older than 1.27, the first with kustomize 5")
    return path


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    """Copy the overlays, and add the example of the README."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    for block in _readme_blocks("yaml"):
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    return tmp_path / "deploy" / "overlays"


@pytest.mark.parametrize("name", ["../base", "gpu", "tls", "mine"])
def test_kustomize_renders_valid_manifests(
    name: str, kubectl: str, overlays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base, the overlays and the README's example have valid manifests and known settings."""
    rendered = subprocess.run([kubectl, "kustomize", overlays / name], capture_output=True, text=True)
    assert rendered.returncode == 0, rendered.stderr
    manifests = list(yaml.safe_load_all(rendered.stdout))
    assert len(manifests) == len(MANIFESTS)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
        if manifest["kind"] == "Deployment":
            _settings(manifest, monkeypatch)
