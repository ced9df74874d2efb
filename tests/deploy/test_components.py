"""Components and examples of deploy/: each one, and all together, make valid manifests that the server agrees with."""

import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus

from rerank_service.cli import health_check
from rerank_service.errors import SettingsInvalid
from rerank_service.models.catalog.fields import entries_of
from rerank_service.wiring import model_entries
from support.manifests import (
    DEPLOY,
    KUBERNETES,
    Manifest,
    Rendered,
    missing_kubectl,
    read_manifest,
    render,
    render_overlay,
    settings_of,
)

BUNDLES = (
    "components/bundle-from-image",
    "components/bundle-from-s3",
    "components/bundle-from-url",
    "components/bundle-from-volume",
)
SCALERS = ("components/hpa", "components/keda")
OTHERS = (
    "components/models",
    "components/tls",
    "components/certificate",
    "components/keys",
    "components/gpu",
    "monitoring",
)
"""`models` replaces the model of a bundle, so it stands after those."""
OPENSHIFT = "components/openshift"
"""It removes values of the base and adds to other components, so it stands last."""
COMPONENTS = (*BUNDLES, *SCALERS, *OTHERS, OPENSHIFT)
TOGETHER = list(zip(BUNDLES, itertools.cycle(SCALERS), strict=False))
"""Pairs that stand for all: bundles and scalers exclude each other, and have nothing in common with other kinds."""
EXAMPLES = sorted(path.parent.name for path in DEPLOY.glob("examples/*/kustomization.yaml"))
MODELS_FILE = "- bundle: /models/fetched/small\n  name: small\n"
CONFIG_MAPS = (
    {
        "name": "rerank-bundle",
        "literals": [
            "BUNDLE_URL=https://models.example.com/my-model.tar",
            "BUNDLE_PATH=models/my-model",
            "S3_PROVIDER=AWS",
            "S3_ENDPOINT=",
            "S3_REGION=eu-central-1",
            "RERANK_MODEL=/models/my-model",
            f"RERANK_MODEL_DIGEST={'0' * 64}",
        ],
    },
    {"name": "rerank-models", "literals": [f"models.yaml={MODELS_FILE}"]},
)
SCHEMAS: dict[str, Any] = {
    "Certificate": cert_manager.Certificate,
    "PrometheusRule": prometheus.PrometheusRule,
    "ScaledObject": keda.ScaledObject,
    "ServiceMonitor": prometheus.ServiceMonitor,
}
"""Kinds that Kubernetes itself does not know, as their projects publish them."""
SECRETS = {"rerank-tls", "rerank-keys", "rerank-bundle-s3"}
"""Secrets that an operator makes. docs/operations.md says how."""
REMOVED = {"RERANK_MODEL", "RERANK_MODEL_DIGEST"}
"""Variables that the component `models` removes."""
WRITTEN = {"cache"}
"""Settings whose folder the server writes to."""

needs_kubectl = pytest.mark.skipif(missing_kubectl() is not None, reason=str(missing_kubectl()))


@pytest.fixture(scope="module", params=[*COMPONENTS, *TOGETHER, *(f"examples/{name}" for name in EXAMPLES)], ids=str)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return an overlay with one component, with one bundle, one scaler and all others, or an example."""
    if str(request.param).startswith("examples/"):
        return render(DEPLOY / request.param)
    components = (request.param,) if isinstance(request.param, str) else (*request.param, *OTHERS)
    return render_overlay(tmp_path_factory.mktemp("overlay"), components, CONFIG_MAPS)


def test_every_component_is_tested() -> None:
    """Each folder is in the list above."""
    folders = {str(path.parent.relative_to(DEPLOY)) for path in DEPLOY.rglob("kustomization.yaml")}
    assert folders == {"base", *COMPONENTS, *(f"examples/{name}" for name in EXAMPLES)}
    for component in COMPONENTS:
        assert read_manifest(DEPLOY / component / "kustomization.yaml")["kind"] == "Component"


@needs_kubectl
def test_manifests_are_valid(rendered: Rendered) -> None:
    """Unknown fields are errors: a model drops a field that its schema does not have."""
    for manifest in rendered:
        model = SCHEMAS.get(manifest["kind"])
        if model is None:
            _validate(json.dumps(manifest))
        else:
            kept = model.model_validate(manifest).model_dump(by_alias=True, exclude_unset=True, mode="json")
            assert kept == manifest
    assert len({(one["kind"], one["metadata"]["name"]) for one in rendered}) == len(rendered.manifests)


@cache
def _validate(manifest: str) -> None:
    """Validate a manifest. Most are the same in many overlays."""
    kubernetes_validate.validate(json.loads(manifest), KUBERNETES[-1], strict=True)


@needs_kubectl
def test_environment_is_valid_and_its_paths_are_mounted(rendered: Rendered) -> None:
    """Every variable is a setting with a valid value. Every path is in a volume; the server can write to its cache."""
    settings = settings_of(rendered.environment(rendered.server))
    mounts = {mount["mountPath"]: mount for mount in rendered.server["volumeMounts"]}
    for name in settings.model_fields_set:
        path = getattr(settings, name)
        if isinstance(path, Path):
            (mount,) = [mounts[folder] for folder in mounts if path.is_relative_to(folder)]
            assert mount.get("readOnly", False) is (name not in WRITTEN), name


@needs_kubectl
def test_volumes_are_mounted_and_exist(rendered: Rendered) -> None:
    """No volume is left over, none is missing, and no folder is mounted twice."""
    containers = [*rendered.pod["containers"], *rendered.pod.get("initContainers", [])]
    volumes = [volume["name"] for volume in rendered.pod["volumes"]]
    assert len(set(volumes)) == len(volumes)
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == set(volumes)
    for container in containers:
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(set(paths)) == len(paths)
        # a subPath would never be updated
        assert not any("subPath" in mount for mount in container["volumeMounts"])


@needs_kubectl
def test_secrets_are_documented(rendered: Rendered) -> None:
    """Each Secret has a command or a certificate that makes it."""
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text()
    for name in _values(rendered.pod, "secretName") | {ref["name"] for ref in _mappings(rendered.pod, "secretKeyRef")}:
        assert name in SECRETS
        assert name in operations


@needs_kubectl
def test_containers_have_minimal_rights(rendered: Rendered) -> None:
    """An init container has those of the server."""
    for container in rendered.pod.get("initContainers", []):
        assert container["securityContext"] == rendered.server["securityContext"]
        assert re.fullmatch(r"[\w./-]+:\d[\w.]*", container["image"])


@needs_kubectl
@pytest.mark.parametrize("pair", TOGETHER, ids=str)
def test_no_component_overrides_another(pair: tuple[str, str], tmp_path: Path) -> None:
    """All values of each component are there when all are together, in any order."""
    components = (*pair, *OTHERS)
    backwards = [*reversed([name for name in components if name != "components/models"]), "components/models"]
    forward = render_overlay(tmp_path / "forward", components, CONFIG_MAPS)
    for all_of_them in (forward, render_overlay(tmp_path / "backwards", backwards, CONFIG_MAPS)):
        for component in components:
            for patch in _patches(component):
                _assert_contains(all_of_them.get(patch["kind"], patch["metadata"]["name"]), patch)


@needs_kubectl
@pytest.mark.parametrize("bundle", BUNDLES)
def test_models_replace_the_model_of_a_bundle(tmp_path: Path, bundle: str) -> None:
    """`--models` and `--model` exclude each other."""
    both = render_overlay(tmp_path, [bundle, "components/models"], CONFIG_MAPS)
    variables = both.environment(both.server)
    assert variables["RERANK_MODELS"] == "/models-file/models.yaml"
    assert "RERANK_MODEL" not in variables
    assert "RERANK_MODEL_DIGEST" not in variables


@needs_kubectl
def test_models_before_a_bundle_end_the_start(tmp_path: Path) -> None:
    """In the wrong order, the bundle sets its model again. The message names both settings."""
    both = render_overlay(tmp_path, ["components/models", "components/bundle-from-s3"], CONFIG_MAPS)
    with pytest.raises(SettingsInvalid, match=r"RERANK_MODEL is '/models/fetched', but .* RERANK_MODELS is set, too"):
        model_entries(settings_of(both.environment(both.server)))


@needs_kubectl
def test_cache_on_a_volume_replaces_that_of_the_base(tmp_path: Path) -> None:
    """The patch of docs/operations.md. A volume has one source only."""
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text()
    (patch,) = re.findall(r"```yaml\n(# deploy/overlays/mine/cache.yaml.*?)```", operations, re.DOTALL)
    overlay = render_overlay(tmp_path, ["components/gpu"], CONFIG_MAPS, patch)
    (cache,) = [volume for volume in overlay.pod["volumes"] if volume["name"] == "cache"]
    assert cache == {"name": "cache", "persistentVolumeClaim": {"claimName": "rerank-cache"}}


@needs_kubectl
def test_the_patch_of_admin_opens_its_port(tmp_path: Path) -> None:
    """The patch of docs/operations.md. All other variables stay, and the port is that of the commands there."""
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text()
    (patch,) = re.findall(r"```yaml\n(# deploy/overlays/mine/admin.yaml.*?)```", operations, re.DOTALL)
    without = render_overlay(tmp_path / "without", ["components/keys"], CONFIG_MAPS)
    overlay = render_overlay(tmp_path / "with", ["components/keys"], CONFIG_MAPS, patch)
    added = {"RERANK_ADMIN_PORT": "50052"}
    assert overlay.environment(overlay.server) == without.environment(without.server) | added
    assert set(re.findall(r"rerank admin \w+ --server \S+:(\d+)", operations)) == set(added.values())


@needs_kubectl
@pytest.mark.parametrize("pair", TOGETHER, ids=str)
def test_openshift_sets_user_and_groups_and_has_another_port_of_dns(pair: tuple[str, str], tmp_path: Path) -> None:
    """Its SCC `restricted-v2` rejects other users. Its DNS pods listen on port 5353, which network policies see."""
    base = read_manifest(DEPLOY / "base" / "deployment.yaml")["spec"]["template"]["spec"]["securityContext"]
    there = render_overlay(tmp_path, [*pair, *OTHERS, OPENSHIFT], CONFIG_MAPS)
    for manifest in there.of("Deployment") + there.of("NetworkPolicy"):
        _validate(json.dumps(manifest))
    chosen = {"runAsUser", "runAsGroup", "fsGroup"}
    assert there.pod["securityContext"] == {name: value for name, value in base.items() if name not in chosen}
    for policy in there.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            ports = {(port["port"], port["protocol"]) for port in rule["ports"]}
            assert {(5353, protocol) for port, protocol in ports if port == 53} <= ports


def _patches(component: str) -> Iterator[Manifest]:
    for patch in read_manifest(DEPLOY / component / "kustomization.yaml").get("patches", ()):
        yield read_manifest(DEPLOY / component / patch["path"])


def _deployment_patch(component: str) -> Manifest:
    (patch,) = [patch for patch in _patches(component) if patch["kind"] == "Deployment"]
    return patch


def _assert_contains(merged: Any, patch: Any, place: str = "") -> None:
    """Check that a strategic merge kept each value of a patch. Lists are merged by name; config maps get a hash."""
    if isinstance(patch, dict):
        for name, value in patch.items():
            if value is None:
                continue
            assert name in merged, f"{place}.{name}"
            _assert_contains(merged[name], value, f"{place}.{name}")
    elif isinstance(patch, list) and patch and isinstance(patch[0], dict) and "name" in patch[0]:
        by_name = {each["name"]: each for each in merged}
        for each in patch:
            if each["name"] not in REMOVED:
                _assert_contains(by_name[each["name"]], each, f"{place}[{each['name']}]")
    elif place.endswith(("configMapKeyRef.name", "configMap.name")):
        assert merged.startswith(patch)
    else:
        assert merged == patch, place


def _mappings(value: Any, name: str) -> Iterator[Any]:
    """Yield the value of each field with a name, at any depth."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == name:
                yield each
            yield from _mappings(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _mappings(each, name)


def _values(value: Any, name: str) -> set[str]:
    return set(_mappings(value, name))


def test_probes_of_tls_replace_those_of_the_base() -> None:
    """The kubelet has no TLS for gRPC probes. A probe has exactly one handler, so the one of the base is removed.

    The port of the liveness probe has no TLS, so that its probe stays.
    """
    base = read_manifest(DEPLOY / "base" / "deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    patch = _deployment_patch("components/tls")
    container = patch["spec"]["template"]["spec"]["containers"][0]
    for name in ("startupProbe", "readinessProbe"):
        (handler,) = {"grpc", "httpGet"} & base[name].keys()
        assert container[name][handler] is None
        assert container[name]["exec"]["command"] == ["python3", "-m", health_check.__name__]
    assert base["livenessProbe"]["httpGet"]["port"] == "metrics"
    assert "livenessProbe" not in container


@needs_kubectl
def test_services_of_tls_have_the_protocol_of_tls(tmp_path: Path) -> None:
    """Ingresses and meshes choose TLS by `appProtocol`. With that of the base, they would send HTTP in plain text."""
    rendered = render_overlay(tmp_path, ["components/tls"], CONFIG_MAPS)
    for service in ("rerank", "rerank-headless"):
        ports = {port["name"]: port.get("appProtocol") for port in rendered.get("Service", service)["spec"]["ports"]}
        assert {ports[name] for name in ports.keys() & {"grpc", "http"}} == {"https"}


def test_certificate_is_for_the_secret_and_the_services() -> None:
    """Files are named as by cert-manager and kubectl. `localhost` is the name for `kubectl port-forward`."""
    certificate = read_manifest(DEPLOY / "components" / "certificate" / "certificate.yaml")["spec"]
    patch = _deployment_patch("components/tls")
    pod = patch["spec"]["template"]["spec"]
    assert certificate["secretName"] == pod["volumes"][0]["secret"]["secretName"]
    services = [read_manifest(path) for path in (DEPLOY / "base").glob("service*.yaml")]
    assert set(certificate["dnsNames"]) == {one["metadata"]["name"] for one in services} | {"localhost"}
    files = {PurePosixPath(variable["value"]).name for variable in pod["containers"][0]["env"]}
    assert files == {"tls.crt", "tls.key"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_set_no_model_in_patches(name: str) -> None:
    """kustomize applies them after all components, so that `components/models` could not replace this model."""
    folder = DEPLOY / "examples" / name
    for patch in read_manifest(folder / "kustomization.yaml").get("patches", ()):
        assert not REMOVED & _values(read_manifest(folder / patch["path"]), "name")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_list_every_file(name: str) -> None:
    """They list no others."""
    folder = DEPLOY / "examples" / name
    kustomization = read_manifest(folder / "kustomization.yaml")
    files = [path for one in kustomization.get("configMapGenerator", ()) for path in one.get("files", ())]
    listed = {*files, *(patch["path"] for patch in kustomization.get("patches", ())), "kustomization.yaml"}
    assert listed == {path.name for path in folder.iterdir()}


def test_models_files_are_lists_of_bundles() -> None:
    """They name bundles in the folder that the init container fills."""
    files = list(DEPLOY.glob("examples/*/models.yaml"))
    assert files
    for path in files:
        for entry in entries_of(yaml.safe_load(path.read_text())):
            assert PurePosixPath(entry.bundle).is_relative_to("/models/fetched")
