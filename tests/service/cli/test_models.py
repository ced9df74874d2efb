"""`rerank models`: of a server, and known ones."""

import asyncio
import io
import json
import re

import pytest
from rich.console import Console

from rerank_service import __main__ as entry
from rerank_service.cli.output.known_models import known_note, known_table, size_text
from rerank_service.models.known_models import known_models
from rerank_service.models.known_speed import MeasuredSpeed
from support.running import Served

_SPEED = MeasuredSpeed("starter [a]", "cpu fp32", 100.0, 2e9)


def test_known_models_need_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of JSON have all facts. Speeds are null without a measurement."""
    assert entry._main(["models", "--known", "--no-speed", "--json"]) == 0
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["name"] for line in lines] == [model.name for model in known_models().models]
    assert {line["speed"] for line in lines} == {None}
    assert all(line["sources"][0] == f"https://huggingface.co/{line['name']}" for line in lines)
    assert shown.err == ""


@pytest.mark.parametrize("speed", [_SPEED, None], ids=["measured", "not measured"])
def test_known_table_fits_into_80_columns(speed: MeasuredSpeed | None) -> None:
    """Each name is there, and what a model needs."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as captured:
        console.print(known_table(known_models().models, speed))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    text = "".join(re.split(r" {3,}", line.strip())[0] for line in lines)
    assert all(model.name in text for model in known_models().models)
    assert any("needs --trust-remote-code" in line for line in lines)
    assert any("docs/s" in line for line in lines) is (speed is not None)


def test_note_names_the_measurement() -> None:
    """Or that there is none."""
    assert "from 100 docs/s of starter [a] on cpu fp32, measured now" in known_note(_SPEED)
    assert known_note(None) == "speeds: not measured"


@pytest.mark.parametrize(("count", "shown"), [(4_390_000, "4.39M"), (568_000_000, "568M"), (1_700_000_000, "1.7B")])
def test_size_has_a_unit(count: int, shown: str) -> None:
    """Millions or billions of parameters."""
    assert size_text(count) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--known", "--server", "127.0.0.1:1"), "--known asks no server: remove --server 127.0.0.1:1"),
        (("--no-speed",), "--no-speed needs --known"),
    ],
)
def test_contradictions_are_reported(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with status 2."""
    assert entry._main(["models", *arguments]) == 2
    assert message in capsys.readouterr().err


async def test_models_of_a_server_as_json(edges: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Fields have the names of rerank.proto."""
    assert await asyncio.to_thread(entry._main, ["models", "--server", edges.address, "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    model = json.loads(line)
    assert (model["ready"], model["state"]) == (True, "ready")
    assert model["max_tokens"] == edges.core.model.info.max_tokens
