"""`rerank doctor` with real files, ports and models. Covers cli/doctor_checks.py, output/findings.py, tools/doctor/."""

import asyncio
import io
import json
import os
import resource
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from rich.console import Console

from rerank_service.__main__ import build_parser, commands
from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import listening as grpc_listening
from rerank_service.api.http.app import build_app
from rerank_service.api.http.metrics_port import metrics_app
from rerank_service.api.http.server import listening
from rerank_service.api.unix_sockets import listening_unix_socket
from rerank_service.cli.commands.doctor import _findings
from rerank_service.cli.output.findings import finding_json, findings_summary, findings_table
from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.models.golden_pairs import GoldenPair, write_golden_pairs
from rerank_service.models.served_model import ServedModel
from rerank_service.tools.doctor.finding import Finding, Status, ok, slow, wrong
from support.limits import grpc_options, rest_options
from support.process import command, environment
from support.running import Running, Served
from support.small import logit, write_small_model
from support.tls import tls_served, write_pems

_FREE = ("--grpc-port", "0", "--rest-port", "0", "--provider", "cpu", "--precision", "fp32")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("RERANK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RERANK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _many_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not depend on the limits of this machine: a low one is a finding."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, 2**20))


def _found(*arguments: str) -> list[Finding]:
    return list(_findings(build_parser(commands()).parse_args(["doctor", *arguments])))


def _named(findings: list[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def _not_ok(findings: list[Finding]) -> list[Finding]:
    """Return the findings about settings that are not OK. Each has a fix."""
    names = [finding.name for finding in findings]
    found = [finding for finding in findings[names.index("settings") :] if finding.status is not Status.OK]
    assert all(finding.fix and "\n" not in finding.fix + finding.text for finding in found)
    return found


def _wrong(findings: list[Finding]) -> Finding:
    [finding] = _not_ok(findings)
    assert finding.status is Status.WRONG
    return finding


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle whose second golden pair has another logit than its graph."""
    bundle = write_small_model(tmp_path_factory.mktemp("golden"))
    pairs = [
        GoldenPair(query="1", document="2 3", logit=logit("2 3")),
        GoldenPair(query="1", document="4", logit=5.0),
    ]
    write_golden_pairs(bundle.folder, pairs)
    write_manifest(bundle.folder, bundle.manifest)
    return bundle.folder


def test_all_parts_of_a_right_installation_are_ok(starter: Bundle) -> None:
    """The model is loaded, and its golden pairs are scored."""
    findings = _found(*_FREE)
    assert _not_ok(findings) == []
    names = {finding.name for finding in findings}
    assert {"Python", "ONNX Runtime", "processor", "cores", "memory", "providers", "engines"} <= names
    assert {"TLS", "API keys", "--grpc-port", "--rest-port", "cache"} <= names
    files, engine, golden_pairs = _named(findings, "model")
    assert files.text == "the starter model is verified, export passed"
    assert starter.digest in files.details
    assert engine.text.endswith("requested: provider cpu, precision fp32")
    assert golden_pairs.text.startswith("loaded; 8 golden pairs scored, largest difference")


def test_untuned_model_is_slow(small_model: Bundle) -> None:
    """With an engine to choose, and no tuning in the cache. --quick loads nothing."""
    findings = _found("--grpc-port", "0", "--rest-port", "0", "--model", str(small_model.folder), "--quick")
    [untuned] = _not_ok(findings)
    assert (untuned.name, untuned.status) == ("model", Status.SLOW)
    assert "rerank tune" in untuned.fix
    assert _named(findings, "model")[-1].text.startswith("not loaded; no golden pairs")


def test_wrong_setting_hides_no_check_of_the_machine() -> None:
    """Checks of the settings need valid settings."""
    findings = _found("--rest-port", "high")
    assert findings[-1].name == "settings"
    assert "--rest-port or RERANK_REST_PORT is 'high'" in _wrong(findings).text
    assert _named(findings, "engines")


def test_variable_without_effect_is_wrong(monkeypatch: pytest.MonkeyPatch, small_model: Bundle) -> None:
    """The fix is the known variable."""
    monkeypatch.setenv("RERANK_API_KEY", "secret")
    found = _wrong(_found(*_FREE, "--quick", "--model", str(small_model.folder)))
    assert (found.text, found.fix) == ("RERANK_API_KEY has no effect", "set RERANK_API_KEYS")


def test_variables_of_kubernetes_are_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services named `rerank` and `rerank-live`. Others with such a name are typos."""
    links = {
        "RERANK_SERVICE_HOST": "10.0.0.1",
        "RERANK_SERVICE_PORT": "8080",
        "RERANK_SERVICE_PORT_GRPC": "50051",
        "RERANK_PORT": "tcp://10.0.0.1:8080",
        "RERANK_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "RERANK_PORT_8080_TCP_PROTO": "tcp",
        "RERANK_PORT_8080_TCP_PORT": "8080",
        "RERANK_PORT_8080_TCP_ADDR": "10.0.0.1",
        "RERANK_LIVE_SERVICE_HOST": "10.0.0.2",
        "RERANK_LIVE_PORT": "udp://10.0.0.2:80",
        "RERANK_LIVE_PORT_80_UDP_ADDR": "10.0.0.2",
    }
    typos = {"RERANK_HOSTS": "::", "RERANK_RST_PORT": "80", "RERANK_PORTS": "tcp://10.0.0.1:80"}
    for name, value in (links | typos).items():
        monkeypatch.setenv(name, value)
    found = _not_ok(_found(*_FREE, "--quick"))
    assert [each.text for each in found] == [f"{name} has no effect" for name in sorted(typos)]


def test_each_model_is_checked_alone(tmp_path: Path, golden: Path) -> None:
    """An altered bundle, and one with another logit. The third one is fine."""
    for name in ("altered", "golden"):
        shutil.copytree(golden, tmp_path / "models" / name)
    (tmp_path / "models/altered/config.json").write_text("{}")
    write_small_model(tmp_path / "models/fine")
    findings = _found(*_FREE, "--models", str(tmp_path / "models"))
    altered, other = _not_ok(findings)
    assert (altered.name, altered.status) == ("model altered", Status.WRONG)
    assert "config.json was altered" in altered.text
    assert (other.name, other.status) == ("model golden", Status.WRONG)
    assert "has the logit 4.0000 instead of 5.0000" in other.text
    assert [finding.status for finding in _named(findings, "model fine")] == [Status.OK] * 3


@pytest.mark.parametrize(
    ("flags", "name", "words"),
    [
        (("--tls-cert", "absent.crt", "--tls-key", "absent.key"), "TLS", "--tls-cert or RERANK_TLS_CERT is"),
        (("--api-keys-file", "absent.yaml"), "API keys", "--api-keys-file or RERANK_API_KEYS_FILE is"),
        (("--model", "absent"), "model", "absent"),
        (("--models", "absent.yaml"), "models", "--models absent.yaml"),
        (("--model-digest", "0" * 64), "model", f"but {'0' * 64} is required"),
        (("--admin-port", "0", "--admin-host", "0.0.0.0"), "Admin", "no API keys are set"),
        (("--host", "unix:.", "--metrics-port", "0"), "ports", "has Unix sockets only"),
        (("--admin-port", "0", "--bundles-root", "absent"), "Admin", "--bundles-root or RERANK_BUNDLES_ROOT is"),
        (("--host", "unix:absent"), "--host", "absent is not an existing folder"),
    ],
)
def test_wrong_file_or_address_is_a_finding(flags: tuple[str, ...], name: str, words: str) -> None:
    """One finding, and all other checks run."""
    found = _wrong(_found(*_FREE, "--quick", *flags))
    assert found.name == name
    assert words in found.text


def test_command_that_makes_a_folder_has_one_path() -> None:
    """Also if the path has blanks."""
    found = _wrong(_found(*_FREE, "--quick", "--host", "unix:my sockets"))
    assert found.fix == f"make the folder: mkdir -p {shlex.quote(str(Path('my sockets').absolute()))}"


def test_wrong_address_is_found_for_each_port() -> None:
    """Also if the system chooses the ports. 192.0.2.1 is for documentation, so no machine has it (RFC 5737)."""
    found = _not_ok(_found(*_FREE, "--quick", "--host", "192.0.2.1"))
    assert [(each.name, each.status) for each in found] == [
        ("--grpc-port", Status.WRONG),
        ("--rest-port", Status.WRONG),
    ]
    assert all("--host or RERANK_HOST has '192.0.2.1'" in each.text for each in found)


def test_keys_and_tls_are_described(tmp_path: Path) -> None:
    """The certificate with its end."""
    pems = write_pems(tmp_path, trustme.CA())
    flags = ("--tls-cert", pems.cert, "--tls-key", pems.key, "--tls-client-ca", pems.ca, "--host", "0.0.0.0")
    findings = _found(*_FREE, "--quick", *map(str, flags))
    assert _named(findings, "TLS")[0].text.startswith("on, and clients need a certificate; the certificate is valid")
    assert "every caller that reaches the addresses is admitted" in _named(findings, "API keys")[0].text
    findings = _found(*_FREE, "--quick", "--api-keys", "secret")
    assert _named(findings, "API keys")[0].text == "callers need an API key"
    assert not any("secret" in finding.text + finding.fix for finding in findings)


@pytest.mark.parametrize("admin", [False, True])
def test_keys_that_admit_nobody_to_admin_are_wrong(tmp_path: Path, *, admin: bool) -> None:
    """The server starts, and rejects all calls of Admin. Without the port of Admin, nothing is wrong."""
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "a", "key": "secret", "admin": admin}]))
    flags = (*_FREE, "--quick", "--api-keys-file", str(tmp_path / "keys.json"))
    assert _not_ok(_found(*flags)) == []
    found = _not_ok(_found(*flags, "--admin-port", "0"))
    problem = "no key in --api-keys-file has `admin: true`, so all calls fail"
    assert [(each.name, each.status, each.text) for each in found] == (
        [] if admin else [("Admin", Status.WRONG, problem)]
    )


def test_few_open_files_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 10 connections to each of two ports of two addresses, and to the port of Admin."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    flags = (*_FREE, "--quick", "--max-connections", "10", "--host", "127.0.0.1,127.0.0.2", "--admin-port", "0")
    [found] = _not_ok(_found(*flags))
    assert (found.name, found.status) == ("open files", Status.SLOW)
    assert found.text.startswith("limit 512, 562 needed for all connections")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    assert _not_ok(_found(*flags)) == []


def test_traces_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, and no receiver is needed."""
    flags = (*_FREE, "--quick", "--traces", "otlp")
    assert _named(_found(*flags), "traces")[0].text.startswith("on: ")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon")
    found = _wrong(_found(*flags))
    assert found.name == "traces"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is 'pigeon'" in found.text


@pytest.fixture
def used_port() -> Iterator[int]:
    """Return a port on which a socket listens that is no server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_port_in_use_is_wrong(used_port: int) -> None:
    """Another program uses it. The message has the flag, the port and the reason."""
    for flag in ("--grpc-port", "--rest-port", "--metrics-port", "--admin-port"):
        found = _wrong(_found(*_FREE, "--quick", flag, str(used_port)))
        assert found.name == flag
        assert f"127.0.0.1:{used_port}: Address already in use" in found.text


def test_all_mistakes_of_admin_are_found(used_port: int, tmp_path: Path) -> None:
    """A wrong folder, keys that admit nobody, and a port in use: each is a finding of its own."""
    (tmp_path / "keys.json").write_text(json.dumps([{"name": "a", "key": "secret"}]))
    keys, root = ("--api-keys-file", str(tmp_path / "keys.json")), ("--bundles-root", "absent")
    folder, nobody, port = _not_ok(_found(*_FREE, "--quick", *keys, *root, "--admin-port", str(used_port)))
    assert (folder.name, "--bundles-root or RERANK_BUNDLES_ROOT is 'absent'" in folder.text) == ("Admin", True)
    assert (nobody.name, "so all calls fail" in nobody.text) == ("Admin", True)
    assert (port.name, f"127.0.0.1:{used_port}: Address already in use" in port.text) == ("--admin-port", True)


@pytest.mark.parametrize("host", ["0.0.0.0", "absent.invalid"])
def test_wrong_address_of_admin_is_one_finding(host: str) -> None:
    """One that other machines reach without a key, and one that this machine does not have."""
    found = _wrong(_found(*_FREE, "--quick", "--admin-port", "0", "--admin-host", host))
    assert found.name == "Admin"
    assert host in found.text


def test_sockets_are_checked_beside_a_wrong_port_of_metrics() -> None:
    """Metrics need a TCP address."""
    folder, metrics = _not_ok(_found(*_FREE, "--quick", "--host", "unix:absent", "--metrics-port", "0"))
    assert (folder.name, "absent is not an existing folder" in folder.text) == ("--host", True)
    assert (metrics.name, "has Unix sockets only" in metrics.text) == ("ports", True)


async def _metrics(_accept: str) -> tuple[bytes, str]:
    return b"rerank_build_info 1\n", "text/plain"


async def test_ports_of_a_running_server_are_ok(edges: Served) -> None:
    """So that `kubectl exec POD -- rerank doctor` finds nothing wrong."""
    async with listening(metrics_app(_metrics), rest_options()) as metrics:
        ports = {
            "--grpc-port": edges.grpc.port,
            "--rest-port": edges.http.base_url.port,
            "--metrics-port": metrics.port,
        }
        flags = [str(each) for pair in ports.items() for each in pair]
        findings = await asyncio.to_thread(_found, *_FREE, "--quick", *flags)
    assert _not_ok(findings) == []
    for flag in ports:
        assert _named(findings, flag)[0].text.endswith("a rerank server with these settings runs here")


def _limit_memory(monkeypatch: pytest.MonkeyPatch, limit: int, left: int) -> None:
    """Limit the memory of this process, in MB."""
    limited = MemoryLimit(Path("memory.max"), limit * 10**6, left * 10**6, fatal=None)
    monkeypatch.setattr("rerank_service.engine.cgroup_limits.memory_limits", lambda *_: (limited,))


async def test_memory_of_a_running_server_is_not_missed(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start has it. Without a server, the memory that is left counts. A model above the limit is slow."""
    flags = (*_FREE, "--quick", "--rest-port", str(edges.http.base_url.port), "--lanes", "1")
    _limit_memory(monkeypatch, limit=1000, left=100)
    findings = await asyncio.to_thread(_found, *flags)
    assert _not_ok(findings) == []
    [found] = _not_ok(await asyncio.to_thread(_found, *_FREE, "--quick", "--lanes", "1"))
    assert (found.name, found.text) == ("model", "the model may need more memory than the limit leaves now")
    _limit_memory(monkeypatch, limit=100, left=100)
    [found] = _not_ok(await asyncio.to_thread(_found, *flags))
    assert found.text == "the model may need more memory than the limit allows"


def test_memory_of_all_models_of_a_start_is_added(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, golden: Path
) -> None:
    """Each of them fits alone. A model that is loaded on demand does not count: others may be unloaded for it."""
    entries = [{"bundle": str(golden), "name": name, "load": "start"} for name in ("a", "b")]
    on_demand = {"bundle": str(golden), "name": "c", "load": "on_demand"}
    (tmp_path / "models.json").write_text(json.dumps([*entries, on_demand]))
    flags = (*_FREE, "--quick", "--models", str(tmp_path / "models.json"), "--lanes", "1")
    _limit_memory(monkeypatch, limit=150, left=150)
    [found] = _not_ok(_found(*flags))
    assert (found.name, found.status) == ("models", Status.SLOW)
    assert found.text == (
        "the 2 models that are loaded at the start may need 201 MB together, and the memory limit is 150 MB"
    )
    assert "on_demand" in found.fix
    _limit_memory(monkeypatch, limit=250, left=250)
    assert _not_ok(_found(*flags)) == []


def test_memory_that_a_model_does_not_give_back_is_missing_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next one is not loaded: the kernel might kill the process."""
    for name in ("a", "b"):
        write_small_model(tmp_path / "models" / name)
    limited = MemoryLimit(Path("memory.max"), 10**9, left=10**9, fatal=None)
    monkeypatch.setattr("rerank_service.engine.cgroup_limits.memory_limits", lambda *_: (limited,))

    def check(_: ServedModel) -> None:
        nonlocal limited
        limited = replace(limited, left=50 * 10**6)

    monkeypatch.setattr("rerank_service.tools.doctor.model.check_golden", check)
    findings = _found(*_FREE, "--models", str(tmp_path / "models"), "--lanes", "1")
    [found] = _not_ok(findings)
    assert (found.name, found.text) == ("model b", "the model may need more memory than the limit leaves now")
    assert [_named(findings, f"model {name}")[-1].text for name in ("a", "b")] == [
        "loaded; no golden pairs",
        "not loaded; no golden pairs",
    ]


def test_memory_that_malloc_keeps_is_given_back_before_the_next_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A start gives it back, too."""
    for name in ("a", "b"):
        write_small_model(tmp_path / "models" / name)
    kept = 0
    limit = 10**9

    def limits(*_: object) -> tuple[MemoryLimit]:
        return (MemoryLimit(Path("memory.max"), limit, limit - kept, fatal=None),)

    def keep(_: ServedModel) -> None:
        nonlocal kept
        kept = limit

    def give_back() -> None:
        nonlocal kept
        kept = 0

    monkeypatch.setattr("rerank_service.engine.cgroup_limits.memory_limits", limits)
    monkeypatch.setattr("rerank_service.tools.doctor.model.check_golden", keep)
    monkeypatch.setattr("rerank_service.engine.process_memory.return_free_memory", give_back)
    assert _not_ok(_found(*_FREE, "--models", str(tmp_path / "models"), "--lanes", "1")) == []


async def test_ports_of_a_running_server_with_tls_are_ok(core: Running, tmp_path: Path) -> None:
    """gRPC and REST with TLS, and metrics without."""
    pems = write_pems(tmp_path, trustme.CA())
    async with tls_served(core, pems.files()) as tls, listening(metrics_app(_metrics), rest_options()) as metrics:
        ports = ("--grpc-port", tls.grpc_port, "--rest-port", tls.rest_port, "--metrics-port", metrics.port)
        flags = map(str, (*ports, "--tls-cert", pems.cert, "--tls-key", pems.key))
        findings = await asyncio.to_thread(_found, *_FREE, "--quick", *flags)
    assert _not_ok(findings) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "unix:.,127.0.0.1"])
async def test_admin_port_of_a_running_server_on_another_address_is_ok(edges: Served, host: str) -> None:
    """Its default address is 127.0.0.1, wherever the server listens."""
    async with grpc_listening((), Keys(), grpc_options(addresses=listen_addresses(("127.0.0.2",)))) as admin:
        rest, admin_api = ("--rest-port", edges.http.base_url.port), ("--admin-port", admin.port)
        flags = map(str, ("--host", host, *rest, *admin_api, "--admin-host", "127.0.0.2"))
        findings = await asyncio.to_thread(_found, *_FREE, "--quick", *flags)
    assert _not_ok(findings) == []


async def test_unix_sockets_of_a_running_server_are_ok(edges: Served, tmp_path: Path) -> None:
    """For gRPC and REST."""
    host = f"unix:{tmp_path}"
    addresses = listen_addresses((host,))
    async with (
        listening(build_app(edges.routes), rest_options(addresses=addresses)),
        grpc_listening((), Keys(), grpc_options(addresses=addresses)),
    ):
        findings = await asyncio.to_thread(_found, *_FREE, "--quick", "--host", host)
    assert _not_ok(findings) == []
    assert [each.text for each in _named(findings, "--host")] == [
        f"{tmp_path / name} is in use, and a rerank server with these settings runs here"
        for name in ("grpc.sock", "rest.sock")
    ]


def test_unix_socket_that_cannot_be_made_is_wrong(tmp_path: Path) -> None:
    """A program that is no server listens on one file, and the other one is no socket."""
    (tmp_path / "rest.sock").write_text("text")
    with listening_unix_socket(tmp_path / "grpc.sock"):
        found = _not_ok(_found(*_FREE, "--quick", "--host", f"unix:{tmp_path}"))
    assert [(each.name, each.status) for each in found] == [("--host", Status.WRONG)] * 2
    assert "grpc.sock: another server listens on it" in found[0].text
    assert "rest.sock: the file exists and is no socket" in found[1].text
    assert (tmp_path / "rest.sock").read_text() == "text"


def test_unix_socket_with_a_long_path_is_wrong(tmp_path: Path) -> None:
    """The kernel has a limit."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    found = _not_ok(_found(*_FREE, "--quick", "--host", f"unix:{folder}"))
    assert len(found) == 2
    assert all("the path is longer than 107 bytes" in each.text for each in found)


def test_file_of_a_killed_server_is_ok(tmp_path: Path) -> None:
    """The next server replaces it, and doctor leaves it."""
    listening_unix_socket(tmp_path / "rest.sock").close()
    assert _not_ok(_found(*_FREE, "--quick", "--host", f"unix:{tmp_path}")) == []
    assert (tmp_path / "rest.sock").is_socket()


async def test_port_of_another_program_beside_a_running_server_is_wrong(edges: Served, used_port: int) -> None:
    """A server at the REST port says nothing about the other ports."""
    flags = ("--grpc-port", str(used_port), "--rest-port", str(edges.http.base_url.port))
    found = _wrong(await asyncio.to_thread(_found, *_FREE, "--quick", *flags))
    assert found.name == "--grpc-port"


def test_wrong_certificate_is_one_finding(used_port: int, tmp_path: Path) -> None:
    """Ports are checked all the same, without a question for a passphrase."""
    tls = ("--tls-cert", str(tmp_path / "absent.crt"), "--tls-key", str(tmp_path / "absent.key"))
    found = _found(*_FREE, "--quick", "--grpc-port", str(used_port), *tls)
    assert [each.name for each in _not_ok(found)] == ["TLS", "--grpc-port"]


def test_cache_that_cannot_be_written_is_slow(tmp_path: Path) -> None:
    """/dev/null means no cache. A folder that is absent is not made."""
    [found] = _not_ok(_found(*_FREE, "--quick", "--cache", f"{os.devnull}/cache"))
    assert (found.name, found.status) == ("cache", Status.SLOW)
    assert "it keeps 0 tunings, 0 derived graphs" in _named(_found(*_FREE, "--quick"), "cache")[0].text
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache/tuning").mkdir(parents=True)
    (tmp_path / "cache/tuning/0.json").write_text("{}")
    assert "it keeps 1 tuning," in _named(_found(*_FREE, "--quick"), "cache")[0].text


def test_table_shows_texts_literally() -> None:
    """Each fix is below its text. The last line counts."""
    findings = [ok("one", "[red]"), slow("two", "a\x1b[2J", "do [b]"), wrong("three", "bad", "stop")]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as captured:
        console.print(findings_table(findings))
    shown = captured.get()
    assert all(text in shown for text in ("[red]", "fix: do [b]", "fix: stop", "\ufffd[2J"))
    assert findings_summary(findings) == "3 findings: 1 ok, 1 slow, 1 wrong"
    assert json.loads(finding_json(findings[2])) == {
        "name": "three",
        "status": "wrong",
        "text": "bad",
        "fix": "stop",
        "details": "",
    }


def test_broken_environment_is_a_finding(tmp_path: Path) -> None:
    """Without ONNX Runtime, each check that needs it is wrong, and the others run. Only JSON is on stdout."""
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from rerank_service.__main__ import main\n"
        "sys.argv = ['rerank', 'doctor', '--json']; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, cwd=tmp_path
    )
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (1, "")
    missing = [each for each in findings if each["status"] == "wrong"]
    assert {each["text"] for each in missing} == {"the Python package onnxruntime is not installed"}
    assert all("[cpu]" in each["fix"] for each in missing)
    assert {"processor", "cores", "settings"} <= {each["name"] for each in findings if each["status"] == "ok"}


def test_exit_status_is_0_if_nothing_is_wrong(tmp_path: Path) -> None:
    """Slow findings do not count. The table goes to stdout."""
    variables = environment(RERANK_GRPC_PORT="0", RERANK_REST_PORT="0")
    done = subprocess.run(
        command("doctor", "--quick"), capture_output=True, text=True, env=variables, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith(" slow, 0 wrong")
