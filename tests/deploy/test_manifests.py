"""The Kubernetes manifests: valid, at one with each other, with the server's settings and with their README."""

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
from rerank_service.settings import Settings

READINESS = rerank_pb2.DESCRIPTOR.services_by_name["Rerank"].full_name
DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "base"
GPU = DEPLOY / "overlays" / "gpu"
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
    """What the server makes of the container's environment."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"]:
        assert variable["name"] in known
        monkeypatch.setenv(variable["name"], variable["value"])
    return Settings()


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_takes_each_manifest(name: str, version: str) -> None:
    """Each is valid, unknown fields included."""
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_kustomization_lists_every_manifest() -> None:
    """What is there is applied, and what is applied is there."""
    assert _read(BASE / "kustomization.yaml")["resources"] == sorted(MANIFESTS)


def test_the_version_is_the_packages() -> None:
    """The images' tags and the version's label follow the package."""
    base = _read(BASE / "kustomization.yaml")
    assert base["images"] == [{"name": CONTAINER["image"], "newTag": rerank_service.__version__}]
    assert base["labels"][0]["pairs"]["app.kubernetes.io/version"] == rerank_service.__version__
    gpu = _read(GPU / "kustomization.yaml")
    assert gpu["images"] == [{"name": CONTAINER["image"], "newTag": f"{rerank_service.__version__}-gpu"}]
    assert set(re.findall(r"rerank-service:([\w.]+)", README)) == {rerank_service.__version__}


def test_every_selector_finds_the_pods() -> None:
    """Deployment, services, budget, policy and spread mean the same pods."""
    pods = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert [service["spec"]["selector"] for service in SERVICES] == [pods] * 2
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["pod-disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == pods
    for spread in POD["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == pods


def test_ports_are_the_servers_defaults() -> None:
    """The container says which ports the server listens on."""
    assert list(PORTS.items()) == [("grpc", DEFAULTS["grpc_port"]), ("http", DEFAULTS["rest_port"])]


@pytest.mark.parametrize(("name", "ports"), [("service.yaml", ["grpc", "http"]), ("service-headless.yaml", ["grpc"])])
def test_a_service_leads_to_the_containers_ports(name: str, ports: list[str]) -> None:
    """A service's ports have the names and numbers of the container's."""
    served = MANIFESTS[name]["spec"]["ports"]
    assert [port["name"] for port in served] == [port["targetPort"] for port in served] == ports
    assert [port["port"] for port in served] == [PORTS[port] for port in ports]


def test_the_headless_service_is_headless() -> None:
    """Only then does DNS name the pods themselves."""
    assert MANIFESTS["service-headless.yaml"]["spec"]["clusterIP"] == "None"


def test_the_policy_opens_the_containers_ports_only() -> None:
    """In on the container's ports, out to nowhere."""
    policy = MANIFESTS["network-policy.yaml"]["spec"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == list(PORTS)
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("probe", "service"), [("startup", READINESS), ("readiness", READINESS), ("liveness", LIVENESS)]
)
def test_probes_ask_for_what_the_server_tells(probe: str, service: str) -> None:
    """Probes name health services that the server has, on its gRPC port."""
    assert CONTAINER[f"{probe}Probe"]["grpc"] == {"port": DEFAULTS["grpc_port"], "service": service}


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_the_environment_is_made_of_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is one that the server reads, with a value that it takes."""
    _settings(_read(folder / "deployment.yaml"), monkeypatch)


def test_the_kubelet_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes come from outside the pod's loopback."""
    assert _settings(DEPLOYMENT, monkeypatch).host == "0.0.0.0"


def test_a_pod_may_drain_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet waits for longer than the server drains."""
    settings = _settings(DEPLOYMENT, monkeypatch)
    assert settings.drain_delay > 0
    assert POD["terminationGracePeriodSeconds"] > settings.drain_delay + settings.grace


def test_no_service_can_set_the_servers_variables() -> None:
    """Kubernetes would set RERANK_GRPC_PORT for a service called rerank-grpc."""
    assert POD["enableServiceLinks"] is False


def test_the_pod_has_no_rights() -> None:
    """No root, no capabilities, no writing, no token: what Pod Security calls restricted, and more."""
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


def test_the_readmes_addresses_are_of_services() -> None:
    """Every name and port that the README tells callers is a service's."""
    ports = {service["metadata"]["name"]: [port["port"] for port in service["spec"]["ports"]] for service in SERVICES}
    addresses = re.findall(r"///?([\w-]+):(\d+)", README)
    assert {name for name, _ in addresses} == set(ports)
    assert all(int(port) in ports[name] for name, port in addresses)


def test_the_readmes_service_config_asks_for_readiness() -> None:
    """The health service that clients are told to watch is the server's."""
    (config,) = map(json.loads, _readme_blocks("json"))
    assert config["healthCheckConfig"]["serviceName"] == READINESS


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A kubectl that renders kustomizations as clusters get them."""
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not installed")
    told = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version: str = json.loads(told.stdout)["clientVersion"]["gitVersion"]
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (1, 27):
        pytest.skip(f"kubectl {version} is older than 1.27, the first with kustomize 5")
    return path


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    """The overlays, with the one that the README tells."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    for block in _readme_blocks("yaml"):
        path = tmp_path / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    return tmp_path / "deploy" / "overlays"


@pytest.mark.parametrize("name", ["../base", "gpu", "mine"])
def test_kustomize_renders_what_kubernetes_takes(
    name: str, kubectl: str, overlays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base, the overlays and the README's example render to valid manifests with known settings."""
    rendered = subprocess.run([kubectl, "kustomize", overlays / name], capture_output=True, text=True)
    assert rendered.returncode == 0, rendered.stderr
    manifests = list(yaml.safe_load_all(rendered.stdout))
    assert len(manifests) == len(MANIFESTS)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
        if manifest["kind"] == "Deployment":
            _settings(manifest, monkeypatch)
