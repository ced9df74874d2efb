"""docs/operations.md and deploy/README.md: their variables, commands and paths exist."""

import configparser
import inspect
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

import rerank_service
from rerank_service.__main__ import commands
from rerank_service.scheduling import admission
from rerank_service.settings import Settings
from support.manifests import DEPLOY, KUBERNETES, read_manifest, settings_of

ROOT = DEPLOY.parent
PAGES = (ROOT / "docs" / "operations.md", DEPLOY / "README.md")
OPERATIONS = PAGES[0].read_text()
CLIENT = {"RERANK_SERVER", "RERANK_API_KEY", "RERANK_TLS_CA"}
"""Variables of client commands."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pages
def test_variables_are_settings(page: Path) -> None:
    """A renamed setting would be advice that does nothing."""
    known = {f"RERANK_{name.upper()}" for name in Settings.model_fields} | CLIENT
    assert set(re.findall(r"\bRERANK_[A-Z_]*[A-Z]\b", page.read_text())) <= known


@pages
def test_paths_of_deploy_exist(page: Path) -> None:
    """Components, examples and files in them."""
    for path in set(re.findall(r"\b(?:components|examples)/[\w./-]*\w", page.read_text())):
        assert path.endswith("bundle-from") or (DEPLOY / path).exists(), path


@pages
def test_commands_exist(page: Path) -> None:
    """In code and in sentences."""
    named = set(re.findall(r"(?:`|^|-- )rerank ([a-z]+)\b", page.read_text(), re.MULTILINE))
    assert named <= {*commands(), "admin"}


@pages
def test_versions_are_those_of_the_package(page: Path) -> None:
    """Tags of images."""
    tags = set(re.findall(r"rerank-service:(\d[\w.]+)", page.read_text()))
    assert tags == {rerank_service.__version__}


def test_docker_run_serves_the_mounted_bundle() -> None:
    """Its variables are settings, its ports those of the image, and its paths are mounted."""
    words = _served_by_docker()
    values = [(word, words[at + 1]) for at, word in enumerate(words) if word in ("-e", "-p", "-v")]
    variables = dict(value.split("=") for word, value in values if word == "-e")
    settings = settings_of(variables)
    mounted = [value.removesuffix(":ro").rpartition(":")[2] for word, value in values if word == "-v"]
    assert [str(settings.model), str(settings.cache)] == mounted
    ports = [value.split(":")[-2:] for word, value in values if word == "-p"]
    served = (settings.grpc_port, settings.rest_port, settings.metrics_port)
    assert ports == [[str(port), str(port)] for port in served]


def test_docker_starts_a_server_again_that_a_fault_has_ended() -> None:
    """A hung batch and a lost lane end the process. A stop leaves accepted requests their time."""
    words = _served_by_docker()
    options = dict(itertools.pairwise(words))
    assert options["--restart"] == "unless-stopped"
    assert "--rm" not in words
    assert f"docker stop {options['--name']}" in OPERATIONS
    settings = settings_of({})
    assert int(options["--stop-timeout"]) > settings.drain_delay + settings.grace


@pytest.fixture(scope="module")
def unit() -> configparser.SectionProxy:
    """Return the section of the service in the unit of systemd."""
    parser = configparser.ConfigParser(delimiters="=", interpolation=None)
    parser.read(DEPLOY / "systemd" / "rerank.service")
    return parser["Service"]


def test_systemd_starts_a_server_again_that_a_fault_has_ended(unit: configparser.SectionProxy) -> None:
    """Its variables are settings. A stop leaves accepted requests their time."""
    settings = settings_of(dict(pair.split("=", 1) for pair in unit["Environment"].split()))
    assert unit["Restart"] == "always"
    assert int(unit["TimeoutStopSec"]) > settings.drain_delay + settings.grace
    assert settings.cache == Path("/var/cache") / unit["CacheDirectory"]
    page = (DEPLOY.parent / "docs" / "clients.md").read_text()
    assert f"`--host unix:/run/{unit['RuntimeDirectory']}`" in page, "without it, the server cannot write to /run"


def test_prometheus_reaches_the_metrics_of_the_unit(unit: configparser.SectionProxy) -> None:
    """They are on the REST port. The job is that of the alerts."""
    settings = settings_of(dict(pair.split("=", 1) for pair in unit["Environment"].split()))
    assert settings.metrics_port is None
    (block,) = re.findall(r"^  ```yaml\n(  scrape_configs:.*?)  ```", OPERATIONS, re.DOTALL | re.MULTILINE)
    (job,) = yaml.safe_load(block)["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"rerank.example.com:{settings.rest_port}"]}]
    assert f"http://HOST:{settings.rest_port}/metrics" in OPERATIONS
    rules = (DEPLOY / "monitoring" / "prometheus-rule.yaml").read_text()
    assert set(re.findall(r'\bjob="(\w+)"', rules)) == {job["job_name"]}


def test_systemd_starts_the_server_after_network_file_systems() -> None:
    """A model on one would be missing, which ends the start with the status of a wrong setting."""
    parser = configparser.ConfigParser(delimiters="=", interpolation=None)
    parser.read(DEPLOY / "systemd" / "rerank.service")
    assert parser["Unit"]["After"].split() == ["network-online.target", "remote-fs.target", "time-sync.target"]
    assert parser["Unit"]["Wants"] == "network-online.target"
    assert parser["Service"]["RestartPreventExitStatus"] == "2"


def test_commands_install_what_the_unit_of_systemd_starts(unit: configparser.SectionProxy) -> None:
    """User, environment, program and unit."""
    (block,) = re.findall(r"^make wheel .*?(?=```)", OPERATIONS, re.DOTALL | re.MULTILINE)
    program, command = unit["ExecStart"].split()
    assert command in commands()
    for line in (
        f"sudo useradd --system {unit['User']}",
        f"rerank.env {unit['EnvironmentFile']}",
        f"python3 -m venv {Path(program).parents[1]}",
        "cp deploy/systemd/rerank.service /etc/systemd/system/",
    ):
        assert line in block


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_each_line_of_the_unit(tmp_path: Path) -> None:
    """It ignores unknown ones with a warning. The command checks other units of the machine, too."""
    text = (DEPLOY / "systemd" / "rerank.service").read_text()
    unit = tmp_path / "rerank.service"
    unit.write_text(re.sub(r"(?<=ExecStart=)\S+", sys.executable, text))  # a program that is not there is an error
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert not [line for line in done.stderr.splitlines() if unit.name in line]


def _served_by_docker() -> list[str]:
    """Return the words of the command that serves."""
    (command,) = re.findall(r"^docker run -d .*?[^\\]$", OPERATIONS, re.DOTALL | re.MULTILINE)
    return shlex.split(command.replace("\\\n", ""))


def test_seconds_are_those_of_the_manifests() -> None:
    """Steps of a stop, and the wait of a rollout."""
    deployment = read_manifest(DEPLOY / "base" / "deployment.yaml")["spec"]
    pod = deployment["template"]["spec"]
    variables = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    for row in (
        f"| {sleep} | `preStop.sleep` |",
        f"| {variables['RERANK_DRAIN_DELAY']} | `RERANK_DRAIN_DELAY` |",
        f"| up to {variables['RERANK_GRACE']} | `RERANK_GRACE` |",
        f"`terminationGracePeriodSeconds` is {pod['terminationGracePeriodSeconds']}:",
        f"The {deployment['minReadySeconds']} s are `minReadySeconds`",
    ):
        assert row in OPERATIONS


def test_alerts_name_the_reason_that_the_message_of_an_error_gives() -> None:
    """The next step depends on it: a request that is late alone gets no faster by more replicas."""
    overloaded, unavailable = (_section(f"### {alert}") for alert in ("RerankOverloaded", "RerankUnavailable"))
    messages = inspect.getsource(admission)
    for section, quoted in ((overloaded, "would miss its deadline by"), (unavailable, "even on its own")):
        assert f"`{quoted}`" in section
        assert quoted in messages


def test_pod_that_copies_a_bundle_has_the_rights_of_the_server() -> None:
    """Namespaces of the Pod Security level `restricted` reject others. The server reads the files that it writes."""
    (command,) = re.findall(r"^(kubectl run copy .*?)\nkubectl wait", OPERATIONS, re.DOTALL | re.MULTILINE)
    words = {name: value for name, _, value in (word.partition("=") for word in shlex.split(command))}
    spec = json.loads(words["--overrides"])["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copy"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES[0], strict=True)
    server = read_manifest(DEPLOY / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    assert spec["securityContext"].items() <= server["securityContext"].items()
    assert spec["securityContext"].keys() >= {"runAsNonRoot", "runAsUser", "fsGroup", "seccompProfile"}
    (container,) = spec["containers"]
    assert container["image"] == words["--image"]
    rights = server["containers"][0]["securityContext"]
    assert container["securityContext"] == {name: rights[name] for name in ("allowPrivilegeEscalation", "capabilities")}


def _section(heading: str) -> str:
    return OPERATIONS.partition(f"{heading}\n")[2].partition("\n### ")[0]


def test_a_forwarded_port_is_waited_for() -> None:
    """`kubectl port-forward … &` returns before the port is open."""
    forwards = re.findall(r"^kubectl port-forward .*&\n(.*)$", OPERATIONS, re.MULTILINE)
    assert forwards
    assert {line.split()[0] for line in forwards} == {"sleep"}


def test_manifests_on_the_page_are_yaml() -> None:
    """They can be copied."""
    blocks = re.findall(r"```yaml\n(.*?)```", OPERATIONS, re.DOTALL)
    assert blocks
    for block in blocks:
        assert isinstance(yaml.safe_load(block), dict)


@pytest.mark.parametrize(("file", "directive"), [("haproxy.cfg", "bind :"), ("nginx.conf", "listen ")])
def test_page_names_each_port_of_the_proxies_without_tls(file: str, directive: str) -> None:
    """With TLS, an operator closes exactly these."""
    page = (DEPLOY.parent / "docs" / "replicas.md").read_text()
    lines = [line.strip() for line in (DEPLOY / "proxies" / file).read_text().splitlines()]
    plain = [line for line in lines if line.startswith(directive)]
    assert len(plain) == 2
    assert all(f"`{line}`" in page for line in plain)
