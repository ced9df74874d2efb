"""Flow of `rerank bench`: against a started server, and without one."""

import json
import subprocess
from pathlib import Path

import pytest

from support.command_lines import CommandLine, Outcome, run_all
from support.commands import rerank, rerank_without_reader
from support.process import Start, command, environment

SMALL_LOAD = ("--requests", "4", "--documents", "3", "--tokens", "2-5")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(command("bench", *arguments), capture_output=True, text=True, env=environment(), timeout=60)


def test_bench_measures_a_server_over_both_protocols(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """It prints a line per level, then a table of 80 columns, and writes a JSON report and a chart."""
    server = start("--model", str(small_folder), RERANK_API_KEYS="sesame")
    for address, detail in ((f"grpc://{server.grpc}", "rerank.v1"), (server.rest, "cohere /v1/rerank")):
        report_file, chart = tmp_path / "load.json", tmp_path / "load.png"
        files = ("--json", str(report_file), "--png", str(chart))
        done = bench("--server", address, "--api-key", "sesame", "--clients", "1,3", *SMALL_LOAD, *files)
        assert done.returncode == 0, done.stderr
        assert "3 clients: " in done.stderr
        assert "small · fp32 · CPUExecutionProvider" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "…" not in done.stdout
        report = json.loads(report_file.read_text())
        assert report["served"]["detail"] == detail
        assert [(level["clients"], level["answered"], level["errors"]) for level in report["levels"]] == [
            (1, 4, {}),
            (3, 4, {}),
        ]
        assert chart.read_bytes().startswith(b"\x89PNG")


def test_files_are_written_if_nobody_reads_the_output(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """The reader has gone, as in `rerank bench … | head -1`."""
    server = start("--model", str(small_folder))
    load = ("--clients", "1", *SMALL_LOAD, "--json", "load.json", "--png", "load.png")
    done = rerank_without_reader("bench", "--server", server.grpc, *load, cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads((tmp_path / "load.json").read_text())["levels"]
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")


def test_failed_calls_are_shown_and_exit_status_is_1_if_all_fail(start: Start, small_folder: Path) -> None:
    """The server accepts the probe's two documents and rejects the load's three."""
    server = start("--model", str(small_folder), "--max-documents", "2")
    done = bench("--server", server.grpc, "--clients", "2", *SMALL_LOAD)
    assert done.returncode == 1
    assert "0/4" in done.stdout
    assert "2 clients: 4 calls, INVALID_ARGUMENT: documents has 3 entries" in " ".join(done.stderr.split())


def test_rate_replaces_clients(start: Start, small_folder: Path) -> None:
    """`--rate 50` for 0.2 s sends 10 requests."""
    server = start("--model", str(small_folder))
    done = bench("--server", server.grpc, "--rate", "50", "--seconds", "0.2", "--documents", "2", "--tokens", "3")
    assert done.returncode == 0, done.stderr
    assert "50/s" in done.stdout
    assert "10/10" in done.stdout


_WRONG: list[tuple[tuple[str, ...], str]] = [
    (("--server", "grpc://127.0.0.1:1"), "grpc://127.0.0.1:1: UNAVAILABLE"),
    (("--server", "http://127.0.0.1:1"), "no connection"),
    (("--server", "tcp://127.0.0.1:1"), "--server tcp://127.0.0.1:1 has the unknown scheme"),
    (("--dialect", "tei"), "--dialect applies to http://"),
    (("--clients", "0"), "give whole numbers above 0"),
    (("--clients", "a"), "give whole numbers above 0"),
    (("--seconds", "-1"), "--seconds is -1: give a number above 0"),
    (("--seconds", "nan"), "--seconds is nan: give a number above 0"),
    (("--seconds", "1", "--requests", "1"), "mutually exclusive"),
    (("--rate", "5", "--clients", "2"), "--rate replaces --clients and --requests"),
    (("--rate", "5", "--requests", "2"), "--rate replaces --clients and --requests"),
    (("--api-key", "clé"), "--api-key has characters"),
    (("--json", "/nowhere/load.json"), "cannot write /nowhere/load.json"),
    (("--tokens", "9-3"), "--tokens is '9-3': give"),
    (("--tokens", "many"), "--tokens is 'many': give"),
]
"""Arguments, and words of the message."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Outcome]:
    """Return the outcomes of the wrong arguments. One process runs them all."""
    lines = [CommandLine(("bench", *arguments)) for arguments, _ in _WRONG]
    done = run_all(lines, tmp_path_factory.mktemp("wrong"))
    return {arguments: outcome for (arguments, _), outcome in zip(_WRONG, done, strict=True)}


@pytest.mark.parametrize(("arguments", "words"), _WRONG)
def test_wrong_arguments_are_reported_in_one_line(
    outcomes: dict[tuple[str, ...], Outcome], arguments: tuple[str, ...], words: str
) -> None:
    """The exit status is 2, or 1 if a call fails. There is no traceback."""
    done = outcomes[arguments]
    assert done.status == (1 if words.startswith(("grpc://", "no connection")) else 2)
    [line] = done.stderr.splitlines()
    assert line.startswith("rerank: ")
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--server", "grpc://127.0.0.1:1"), 1), (("--seconds", "-1"), 2)],
    ids=["call", "argument"],
)
def test_mistake_leaves_standard_output_empty(arguments: tuple[str, ...], status: int) -> None:
    """A program may read it."""
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (status, "")


def test_missing_key_is_reported(start: Start, small_folder: Path) -> None:
    """The error comes before any load."""
    server = start("--model", str(small_folder), RERANK_API_KEYS="sesame")
    for address, words in ((server.grpc, "UNAUTHENTICATED"), (server.rest, "HTTP 401")):
        done = bench("--server", address)
        assert done.returncode == 1
        assert words in done.stderr
        listed = rerank("models", "--server", address, cwd=small_folder)
        assert listed.stderr.endswith(". This command sends the key in RERANK_API_KEY\n")
