"""Kubernetes manifests of deploy/: read, rendered by kubectl, and the settings that a server reads from them."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from rerank_service.settings import Settings, read_settings

Manifest = dict[str, Any]

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = ("1.31", kubernetes_validate.latest_version())
"""The first and the newest version that the manifests are checked for."""


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file."""
    manifest: Manifest = yaml.safe_load(path.read_text())
    return manifest


def missing_kubectl() -> str | None:
    """Return why kustomizations cannot be rendered here, or None."""
    path = shutil.which("kubectl")
    if path is None:
        return "kubectl is not installed"
    version = subprocess.run([path, "version", "--client"], capture_output=True, text=True).stdout
    number = re.search(r"v(\d+)\.(\d+)", version)
    if number is None or tuple(map(int, number.groups())) < (1, 27):
        return f"kubectl is older than 1.27, the first with kustomize 5: {version.strip()}"
    return None


@dataclass(frozen=True, slots=True)
class Rendered:
    """The manifests that `kubectl kustomize` makes of a folder."""

    manifests: tuple[Manifest, ...]

    def __iter__(self) -> Iterator[Manifest]:
        """Yield all manifests."""
        return iter(self.manifests)

    def get(self, kind: str, name: str) -> Manifest:
        """Return the manifest of a kind and a name. Generated names end with a hash, which may be left out."""
        (found,) = (one for one in self.of(kind) if re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", one["metadata"]["name"]))
        return found

    def of(self, kind: str) -> list[Manifest]:
        """Return all manifests of a kind."""
        return [one for one in self.manifests if one["kind"] == kind]

    @property
    def pod(self) -> Manifest:
        """The pod of the Deployment."""
        pod: Manifest = self.get("Deployment", "rerank")["spec"]["template"]["spec"]
        return pod

    @property
    def server(self) -> Manifest:
        """The container of the server."""
        (container,) = self.pod["containers"]
        return dict(container)

    def environment(self, container: Manifest) -> dict[str, str]:
        """Return the variables of a container. Those of a Secret are the name of the Secret and the key."""
        found = ((each["name"], self._value(each)) for each in container["env"])
        return {name: value for name, value in found if value is not None}

    def _value(self, variable: Manifest) -> str | None:
        if "value" in variable:
            return str(variable["value"])
        (source, where), *others = variable["valueFrom"].items()
        assert not others
        if source == "secretKeyRef":
            return f"{where['name']}/{where['key']}"
        assert source == "configMapKeyRef"
        maps = [one["data"] for one in self.of("ConfigMap") if one["metadata"]["name"] == where["name"]]
        assert maps or where.get("optional"), where
        value: str | None = maps[0].get(where["key"]) if maps else None
        assert value is not None or where.get("optional"), where
        return value


def render(folder: Path) -> Rendered:
    """Return the manifests of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return Rendered(tuple(yaml.safe_load_all(done.stdout)))


def render_overlay(folder: Path, components: Sequence[str], config_maps: Sequence[Manifest], *patches: str) -> Rendered:
    """Return the manifests of an overlay on the base, in a copy of deploy/ below an empty folder."""
    shutil.copytree(DEPLOY, folder / "deploy")
    overlay = folder / "deploy" / "overlays" / "mine"
    overlay.mkdir(parents=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base"],
        "components": [f"../../{component}" for component in components],
        "configMapGenerator": list(config_maps),
        "patches": [{"patch": patch} for patch in patches],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return render(overlay)


def settings_of(environment: dict[str, str]) -> Settings:
    """Return the settings that the server reads from the variables of its container. Each of them is a setting."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields}
    assert environment.keys() <= known, environment.keys() - known
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read_settings()
