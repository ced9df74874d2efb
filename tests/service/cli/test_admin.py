"""`rerank admin` with a running server, and its arguments. Covers cli/output/bundles.py."""

import argparse
import asyncio
import io
import json
import os
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from rerank.v1 import admin_pb2 as pb
from rerank_service.__main__ import _main, build_parser, commands
from rerank_service.cli.argument_text import decode_arguments
from rerank_service.cli.commands.admin import _ACTIONS
from rerank_service.cli.output.bundles import bundle_json, bundle_line, bundles_table
from rerank_service.cli.server_arguments import admin_server
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name
from rerank_service.lifecycle.model_control import ModelStatus
from rerank_service.models.model_state import ModelState
from support.admin import StatedModels, admin_served
from support.commands import rerank
from support.small import write_small_model

BUNDLE = pb.Bundle(
    name="docs",
    aliases=["d", "[red]"],
    folder="/models/docs\x1b[2J",
    state=pb.BUNDLE_STATE_READY,
    reason="the new version failed",
    digest="ab" * 32,
    on_demand=True,
    weight=2.5,
    memory_bytes=300 * 1024 * 1024,
    live_requests=3,
    precision="int8",
    provider="CPUExecutionProvider",
    lanes=2,
)


@pytest.fixture
def models(tmp_path: Path) -> StatedModels:
    """Return one model that is not loaded."""
    folder = write_small_model(tmp_path / "docs").folder
    return StatedModels(ModelStatus(name="docs", folder=folder, state=ModelState.UNLOADED))


def _run(words: str) -> int:
    arguments = build_parser(commands()).parse_args(shlex.split(words))
    return int(arguments.run(arguments))


async def test_each_action_calls_its_method(
    models: StatedModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Changes print one line, and with --json a line of JSON."""
    write_small_model(tmp_path / "v2")

    async def run(words: str) -> str:
        with capture_logs():  # of the server, which is in this process
            assert await asyncio.to_thread(_run, f"admin {words} --server {address}") == 0
        return capsys.readouterr().out

    async with admin_served(models, root=tmp_path) as address:
        shown = [await run(words) for words in ("load docs", "load docs v2", "unload docs", "drain", "ready")]
        assert models.loaded == [("docs", None), ("docs", tmp_path / "v2")]
        listed = [json.loads(line) for line in (await run("list --json")).splitlines()]
        changes = [json.loads(await run(f"{words} --json")) for words in ("load docs", "unload docs", "drain", "ready")]
        table = await run("list")
        await run("load canary v2")
        removed = await run("remove canary")
        await run("load canary v2")
        assert await run("remove canary --json") == '{"removed": "canary"}\n'
    assert removed == "canary is removed\n"
    assert shown == [
        f"docs is ready: from {tmp_path / 'docs'}\n",
        f"docs is ready: from {tmp_path / 'v2'}\n",
        f"docs is unloaded: from {tmp_path / 'v2'}\n",
        f"readiness is off: load balancers send no new requests, until `{command_name()} admin ready`\n",
        "readiness is on: the server is ready as its models are\n",
    ]
    assert [(bundle["name"], bundle["state"]) for bundle in listed] == [("docs", "unloaded"), ("docs", "available")]
    assert [change.get("state", change.get("ready")) for change in changes] == ["ready", "unloaded", False, True]
    assert all(word in table for word in ("docs", "unloaded", "available"))


def test_table_has_all_facts_literally() -> None:
    """In 80 columns, without markup and control characters."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as captured:
        console.print(bundles_table([BUNDLE, pb.Bundle(name="new", state=pb.BUNDLE_STATE_AVAILABLE)]))
    shown = captured.get()
    for text in ("[red]", " ready ", "on demand", "failed", "CPU int8", "2 lanes", "300 MiB", " 3 ", "2.5"):
        assert text in shown
    assert "abababababab " in shown
    assert "\x1b" not in shown


def test_line_and_json_of_a_bundle() -> None:
    """Unknown memory is null. The line has no control characters."""
    assert bundle_line(BUNDLE) == "docs is ready: CPU int8, 300 MiB, from /models/docs\ufffd[2J"
    shown = bundle_json(BUNDLE)
    assert list(shown) == [field.name for field in pb.Bundle.DESCRIPTOR.fields]
    assert (shown["state"], shown["memory_bytes"]) == ("ready", 300 * 1024 * 1024)
    assert bundle_json(pb.Bundle(name="a"))["memory_bytes"] is None


def test_a_state_of_a_newer_server_is_shown() -> None:
    """proto3 enums are open."""
    bundle = pb.Bundle.FromString(pb.Bundle(name="a").SerializeToString() + b"\x20\x63")  # field 4: 99
    assert bundle_json(bundle)["state"] == "state 99"


@pytest.mark.parametrize("action", _ACTIONS)
def test_each_action_has_two_examples_that_parse(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And a description of each option."""
    parser = build_parser(commands())
    with pytest.raises(SystemExit):
        parser.parse_args(["admin", action, "--help"])
    shown = capsys.readouterr().out
    for _, words in _ACTIONS[action].examples:
        assert f"admin {words}" in shown
        assert parser.parse_args(["admin", *shlex.split(words)]).action is _ACTIONS[action]
    assert len(_ACTIONS[action].examples) >= 2


@pytest.mark.parametrize(
    ("words", "variables", "problem"),
    [
        (
            "list",
            {},
            "--server is unset, and RERANK_ADMIN_PORT is unset: give the address of the server's --admin-port",
        ),
        ("list", {"RERANK_ADMIN_PORT": "0"}, "and RERANK_ADMIN_PORT is 0"),
        ("list --server http://a:1", {}, "--server is http://a:1, and Admin is gRPC only: give HOST:PORT"),
        ("list --server a", {}, "--server a has no port"),
    ],
)
def test_wrong_address_is_one_line(
    words: str, variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the setting, the value and the next step."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=problem):
        _run(f"admin {words}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("admin", "unload", "\udcff", "--server", "127.0.0.1:1"),
        ("admin", "load", "docs", "\udcff", "--server", "127.0.0.1:1"),
        ("bench", "--server", "http://127.0.0.1:1", "--served-model", "\udcff"),
        ("bench", "--server", "127.0.0.1:1", "--served-model", "\udcff"),
        ("batch", "in.jsonl", "out.jsonl", "--query-column", "\udcff"),
        ("rank", "a", "--file", "a.csv", "--document-column", "\udcff"),
    ],
)
def test_an_argument_that_is_not_utf8_is_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """No message of a protocol can have it. The command ends before it calls a server or reads a file."""
    assert _main(list(arguments)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("rerank: an argument is not UTF-8 text: ")


def test_a_text_in_another_encoding_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has decoded it by the locale of the terminal, such as de_DE.ISO-8859-1."""
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))
    arguments = argparse.Namespace(name="modèle")
    decode_arguments(arguments)
    assert arguments.name == "modèle"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("rank", "a", "--file", "\udcff.txt"), 1),
        (("eval", "\udcff.jsonl"), 1),
        (("batch", "\udcff.jsonl", "out.jsonl"), 1),
        (("admin", "list", "--server", "127.0.0.1:1", "--tls-ca", "\udcff.crt"), 2),
    ],
)
def test_a_path_may_have_bytes_that_are_not_utf8(arguments: tuple[str, ...], status: int, tmp_path: Path) -> None:
    """The file is looked for."""
    done = rerank(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert "\\udcff." in done.stderr.splitlines()[-1]
    assert "UTF-8" not in done.stderr


def test_address_comes_from_the_settings_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """RERANK_SERVER is the address of another port, and does not count."""
    for name, value in (("ADMIN_PORT", "5"), ("ADMIN_HOST", "0.0.0.0"), ("SERVER", "10.0.0.1:50051")):
        monkeypatch.setenv(f"RERANK_{name}", value)
    server = admin_server(build_parser(commands()).parse_args(["admin", "list"]))
    assert (server.address.target, server.source) == ("127.0.0.1:5", "RERANK_ADMIN_HOST, RERANK_ADMIN_PORT")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_wrong_timeout_is_rejected(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the allowed values."""
    with pytest.raises(SystemExit):
        build_parser(commands()).parse_args(["admin", "list", f"--timeout={seconds}"])
    assert f"must be a number of seconds above 0, not '{seconds}'" in capsys.readouterr().err
