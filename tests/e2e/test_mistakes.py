"""Mistakes in the configuration: each one ends the start with one line that names the setting, its value and the fix,
and with status 2."""

import datetime as dt
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from support.command_lines import CommandLine, Outcome, run_all
from support.process import command, environment
from support.tls import write_pems

_TLS = ("--tls-cert", "good/tls.crt", "--tls-key", "good/tls.key")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong start. TAKEN in arguments and message stands for a port that is in use, HERE for the current folder."""

    arguments: str
    message: str
    """Parts of the message, separated by `…`, in their order. The first one is its beginning."""
    variables: Mapping[str, str] = field(default_factory=dict)


def _named(name: str) -> str:
    """Return a setting as messages name it."""
    return f"rerank: --{name} or RERANK_{name.upper().replace('-', '_')} "


_UNREADABLE_PEM = "the file cannot be read (No such file or directory): give a PEM file"
_ENTRY_FIELDS = "has an unknown field: the fields are name, key, sha256, weight"
_SIZE = "give a number of bytes, or a size such as 64MiB, from 0 to 1099511627776 bytes"
_ADDRESSES = "give addresses of this machine, such as 127.0.0.1, or :: for all"

MISTAKES = {
    # names of flags
    "unknown flag": Mistake("--grpc-prot 1", "rerank serve: there is no option --grpc-prot; did you mean --grpc-port?"),
    "flag in snake case": Mistake("--max_documents 1", "rerank serve: …--max_documents; did you mean --max-documents?"),
    "flag without value": Mistake("--model", "rerank serve: argument --model: expected one argument (see rerank serve"),
    "argument without flag": Mistake("out/model", "rerank serve: unexpected argument: out/model (see rerank serve"),
    # numbers and words
    "port is a word": Mistake("--grpc-port grpc", f"{_named('grpc-port')}is 'grpc': give a whole number from 0 to"),
    "port too large": Mistake(
        "--rest-port 70000", f"{_named('rest-port')}is '70000': give a whole number from 0 to 65"
    ),
    "negative port": Mistake("--metrics-port -1", f"{_named('metrics-port')}is '-1': give a whole number from 0 to"),
    "no lanes": Mistake("--lanes 0", f"{_named('lanes')}is '0': give a whole number from 1 to 1024"),
    "half a pair": Mistake(
        "--max-batch-pairs 1.5", f"{_named('max-batch-pairs')}is '1.5': give a whole number above 0"
    ),
    "no documents": Mistake("--max-documents 0", f"{_named('max-documents')}is '0': give a whole number above 0"),
    "2 GB message": Mistake(
        "--max-message-bytes 2000000000", f"{_named('max-message-bytes')}is '2000000000'…1073741824"
    ),
    "beyond int32": Mistake("--max-connections 3000000000", f"{_named('max-connections')}is '3000…at most 2147483647"),
    "wrong size": Mistake("--score-cache-bytes 64miles", f"{_named('score-cache-bytes')}is '64miles': {_SIZE}"),
    "negative time": Mistake("--grace -1", f"{_named('grace')}is '-1': give a number from 0 to 31536000"),
    "time with unit": Mistake("--grace 5s", f"{_named('grace')}is '5s': give a number from 0 to 31536000"),
    "no time": Mistake("--default-timeout 0", f"{_named('default-timeout')}is '0': give a number above 0"),
    "endless time": Mistake("--drain-delay inf", f"{_named('drain-delay')}is 'inf': give a number from 0 to 31536000"),
    "unknown provider": Mistake("--provider tpu", f"{_named('provider')}is 'tpu': give auto, cpu, openvino or cuda"),
    "unknown precision": Mistake("--precision int4", f"{_named('precision')}is 'int4': give auto, fp32, bf16, fp16 or"),
    "unknown level": Mistake(
        "--log-level trace", f"{_named('log-level')}is 'trace': give debug, info, warning or error"
    ),
    "unknown log format": Mistake("--log-format xml", f"{_named('log-format')}is 'xml': give auto, console or json"),
    "unknown traces": Mistake("--traces on", f"{_named('traces')}is 'on': give "),
    "word for true": Mistake("", f"{_named('any-model')}is 'maybe': give true or false", {"RERANK_ANY_MODEL": "maybe"}),
    "wrong variable": Mistake("", f"{_named('lanes')}is 'two': give a whole number", {"RERANK_LANES": "two"}),
    "several wrong": Mistake(
        "--lanes 0 --grace x", f"{_named('lanes')}is '0': give a whole…; --grace or RERANK_GRACE is 'x': give a number"
    ),
    # addresses
    "host with port": Mistake("--host 127.0.0.1:80", f"{_named('host')}is '127.0.0.1:80': give the address without a"),
    "host of nobody": Mistake("--host no.invalid", f"{_named('host')}has 'no.invalid': …{_ADDRESSES}"),
    "URL as host": Mistake("--host http://localhost", f"{_named('host')}has 'http://localhost': …{_ADDRESSES}"),
    "foreign address": Mistake("--host 192.0.2.1", f"{_named('host')}has '192.0.2.1': …{_ADDRESSES}"),
    "no address": Mistake("--host ,", f"{_named('host')}contains no address: give at least one, such as 127.0.0.1"),
    "socket without folder": Mistake("--host unix:", f"{_named('host')}is 'unix:': give a folder, such as unix:/run/"),
    "socket in no folder": Mistake("--host unix:none", f"{_named('host')}has 'unix:HERE/none': …create it, or give"),
    "socket is a file": Mistake(
        "--host unix:good", f"{_named('host')}has 'unix:HERE/good': …is no socket; give another"
    ),
    "wrong network": Mistake(
        "--forwarded-allow-ips 10.0.0.0/40",
        f"{_named('forwarded-allow-ips')}contains '10.0.0.0/40': give IP addresses and networks, such as 10.0.0.0/8",
    ),
    "origin without scheme": Mistake(
        "--cors-origins example.com", f"{_named('cors-origins')}has 'example.com': give origins without path"
    ),
    "star and origin": Mistake(
        "--cors-origins *,https://a.b", f"{_named('cors-origins')}has * beside other origins: give"
    ),
    # ports
    "REST port in use": Mistake(
        "--rest-port TAKEN", f"{_named('rest-port')}is TAKEN: …already in use; give another port"
    ),
    "gRPC port in use": Mistake(
        "--grpc-port TAKEN", f"{_named('grpc-port')}is TAKEN: …already in use; give another port"
    ),
    "metrics port in use": Mistake(
        "--metrics-port TAKEN", f"{_named('metrics-port')}is TAKEN: …already in use; give another port"
    ),
    "two equal ports": Mistake(
        "--grpc-port 7777 --rest-port 7777", f"{_named('rest-port')}is 7777: --grpc-port is the same port: give each a"
    ),
    "metrics on the REST port": Mistake(
        "--rest-port 7777 --metrics-port 7777", f"{_named('metrics-port')}is 7777: --rest-port is the same port: give"
    ),
    "metrics on Unix sockets": Mistake(
        "--metrics-port 9090 --host unix:.", f"{_named('metrics-port')}is 9090, but --host…Unix sockets only: add an"
    ),
    # TLS
    "no key": Mistake(
        "--tls-cert good/tls.crt", f"{_named('tls-cert')}is 'good/tls.crt': …set --tls-key or RERANK_TLS"
    ),
    "no certificate": Mistake(
        "--tls-key good/tls.key", f"{_named('tls-key')}is 'good/tls.key': …set --tls-cert or RERANK"
    ),
    "authority alone": Mistake(
        "--tls-client-ca good/ca.crt", f"{_named('tls-client-ca')}is 'good/ca…set --tls-cert or"
    ),
    "missing certificate": Mistake("--tls-cert no --tls-key no", f"{_named('tls-cert')}is 'no': {_UNREADABLE_PEM}"),
    "folder as key": Mistake(
        "--tls-cert good/tls.crt --tls-key good", f"{_named('tls-key')}is 'good': …(Is a directory): give a PEM file"
    ),
    "key of another": Mistake(
        "--tls-cert good/tls.crt --tls-key other/tls.key",
        f"{_named('tls-key')}is 'other/tls.key': the file does not belong to the certificate in good/tls.crt: give the",
    ),
    "expired certificate": Mistake(
        "--tls-cert old/tls.crt --tls-key old/tls.key",
        f"{_named('tls-cert')}is 'old/tls.crt': the file has a certificate that expired at…: renew it",
    ),
    "text as certificate": Mistake(
        "--tls-cert text --tls-key good/tls.key", f"{_named('tls-cert')}is 'text': …give certificates as PEM (BEGIN"
    ),
    "text as authority": Mistake(
        f"{' '.join(_TLS)} --tls-client-ca text", f"{_named('tls-client-ca')}is 'text': …give certificates as PEM"
    ),
    "TLS on Unix sockets": Mistake(
        f"{' '.join(_TLS)} --host unix:.", f"{_named('tls-cert')}is 'good/tls.crt': --host has only Unix sockets…add an"
    ),
    # API keys
    "empty keys": Mistake(
        "", f"{_named('api-keys')}contains no key: give at least one key, or", {"RERANK_API_KEYS": ""}
    ),
    "empty flag of keys": Mistake("--api-keys ''", f"{_named('api-keys')}contains no key: give at least one key, or"),
    "empty key file": Mistake("", f"{_named('api-keys-file')}is empty: give the", {"RERANK_API_KEYS_FILE": ""}),
    "empty flag of key file": Mistake("--api-keys-file ''", f"{_named('api-keys-file')}is empty: give the path of a"),
    "missing key file": Mistake(
        "--api-keys-file no", f"{_named('api-keys-file')}is 'no': …No such file…give a readable"
    ),
    "folder of keys": Mistake("--api-keys-file good", f"{_named('api-keys-file')}is 'good': …Is a directory; give a"),
    "unknown field": Mistake(
        "--api-keys-file field", f"{_named('api-keys-file')}is 'field': entry 1, line 1: {_ENTRY_FIELDS}"
    ),
    "wrong weight": Mistake(
        "--api-keys-file weight", f"{_named('api-keys-file')}is 'weight': entry 2, line 2: weight must be a number from"
    ),
    "no YAML": Mistake(
        "--api-keys-file yaml", f"{_named('api-keys-file')}is 'yaml': …line 2, column 1: see docs/keys.md"
    ),
    # models and their files
    "missing model": Mistake(
        "", f"{_named('model')}is 'out/m': out/m is not a folder…make export", {"RERANK_MODEL": "out/m"}
    ),
    "file as model": Mistake(
        "--model text", f"{_named('model')}is 'text': text is not a folder: set --model to a folder"
    ),
    "folder without model": Mistake("--model good", f"{_named('model')}is 'good': …make a bundle with `rerank export`"),
    "half a model": Mistake("--model half", f"{_named('model')}is 'half': half/config.json is missing"),
    "path of two lines": Mistake("--model 'a\nb'", f"{_named('model')}is 'a\\nb': a b is not a folder: set --model"),
    "CUDA without a GPU": Mistake(
        "--provider cuda", "rerank: --provider cuda --precision auto does not work here…Choose"
    ),
    "file as cache": Mistake(
        "--cache text", f"{_named('cache')}is 'text', which is a file: give a folder, or /dev/null"
    ),
    "name that is no text": Mistake(
        "", f"{_named('model-name')}is '\\udcff': give UTF-8 text", {"RERANK_MODEL_NAME": "\udcff"}
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, Outcome]]]:
    """Make all mistakes in one process. Yield the expected message and the outcome of each."""
    folder = tmp_path_factory.mktemp("mistakes")
    _write_files(folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = {"TAKEN": str(taken.getsockname()[1]), "HERE": str(folder)}
        lines = [_command_line(each, words) for each in MISTAKES.values()]
        expected = [_filled(each.message, words) for each in MISTAKES.values()]
        yield dict(zip(MISTAKES, zip(expected, run_all(lines, folder), strict=True), strict=True))


def _write_files(folder: Path) -> None:
    authority, now = trustme.CA(), dt.datetime.now(dt.UTC)
    for name, ends in (("good", None), ("other", None), ("old", now - dt.timedelta(days=1))):
        begins = now - dt.timedelta(days=9) if ends else None
        write_pems(folder / name, authority, not_before=begins, not_after=ends)
    (folder / "good" / "rest.sock").touch()
    (folder / "half").mkdir()
    (folder / "half" / "model.onnx").write_bytes(b"no graph")
    for name, text in {
        "text": "some text",
        "field": "- {name: a, key: b, weigth: 3}",
        "weight": "- {name: a, key: b}\n- {name: c, key: d, weight: much}",
        "yaml": "- {name: a\n",
    }.items():
        (folder / name).write_text(text)


def _command_line(mistake: Mistake, words: Mapping[str, str]) -> CommandLine:
    given = [_filled(word, words) for word in shlex.split(mistake.arguments)]
    free = [word for flag in ("--grpc-port", "--rest-port") if flag not in given for word in (flag, "0")]
    return CommandLine(["serve", *free, *given], mistake.variables)


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_with_the_setting_the_value_and_the_fix(
    outcomes: dict[str, tuple[str, Outcome]], name: str
) -> None:
    """Without a traceback, and with status 2."""
    expected, outcome = outcomes[name]
    assert outcome.status == 2
    [message] = [line for line in outcome.stderr.splitlines() if not line.startswith("{")]  # the log is JSON
    first, *others = expected.split("…")
    assert message.startswith(first)
    at = len(first)
    for part in others:
        assert part in message[at:], message
        at = message.index(part, at) + len(part)


def test_privileged_port() -> None:
    """The fix is another port, or the capability."""
    first_allowed = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first_allowed < 2:
        pytest.skip("this machine has no privileged ports")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed, and root may take all ports")
    without_capability = ["setpriv", "--bounding-set=-net_bind_service"] if os.geteuid() == 0 else []
    serve = [*without_capability, *command("serve", "--rest-port", "1", "--grpc-port", "0")]
    done = subprocess.run(serve, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 2
    assert done.stderr == (
        f"{_named('rest-port')}is 1: the server cannot listen on 127.0.0.1:1: Permission denied; give a port from 1024 "
        "on, or allow the process to use it (CAP_NET_BIND_SERVICE)\n"
    )


def test_table_holds_forty_mistakes() -> None:
    """The number that the project promises."""
    assert len(MISTAKES) >= 40
