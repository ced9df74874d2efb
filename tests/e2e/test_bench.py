"""`rerank bench` as its users run it: against a started server, and where there is none."""

import json
import subprocess
from pathlib import Path

import pytest

from support.process import Start, command, environment

SMALL_LOAD = ("--requests", "4", "--documents", "3", "--tokens", "2-5")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it, not on a terminal."""
    return subprocess.run(command("bench", *arguments), capture_output=True, text=True, env=environment(), timeout=60)


def test_it_measures_a_server_over_both_protocols(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """A line a level while it runs, a table of 80 columns at the end, all figures and a picture in files."""
    server = start("--model", str(small_folder), RERANK_API_KEYS="sesame")
    for address, spoken in ((f"grpc://{server.grpc}", "rerank.v1"), (server.rest, "cohere /v1/rerank")):
        kept, drawn = tmp_path / "load.json", tmp_path / "load.png"
        files = ("--json", str(kept), "--png", str(drawn))
        done = bench("--server", address, "--api-key", "sesame", "--clients", "1,3", *SMALL_LOAD, *files)
        assert done.returncode == 0, done.stderr
        assert "3 clients: " in done.stderr
        assert "small · fp32 · CPUExecutionProvider" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "…" not in done.stdout
        report = json.loads(kept.read_text())
        assert report["served"]["detail"] == spoken
        assert [(level["clients"], level["answered"], level["errors"]) for level in report["levels"]] == [
            (1, 4, {}),
            (3, 4, {}),
        ]
        assert drawn.read_bytes().startswith(b"\x89PNG")


def test_calls_that_fail_are_shown_and_the_status_is_1_if_all_do(start: Start, small_folder: Path) -> None:
    """The probe has two documents, which the server takes; the load has three."""
    server = start("--model", str(small_folder), "--max-documents", "2")
    done = bench("--server", server.grpc, "--clients", "2", *SMALL_LOAD)
    assert done.returncode == 1
    assert "0/4" in done.stdout
    assert "2 clients: 4 calls, INVALID_ARGUMENT: documents has 3 entries" in " ".join(done.stderr.split())


def test_requests_come_at_a_rate(start: Start, small_folder: Path) -> None:
    """Instead of clients."""
    server = start("--model", str(small_folder))
    done = bench("--server", server.grpc, "--rate", "50", "--seconds", "0.2", "--documents", "2", "--tokens", "3")
    assert done.returncode == 0, done.stderr
    assert "50/s" in done.stdout
    assert "10/10" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--server", "grpc://127.0.0.1:1"), "grpc://127.0.0.1:1: UNAVAILABLE"),
        (("--server", "http://127.0.0.1:1"), "no connection"),
        (("--server", "tcp://127.0.0.1:1"), "--server tcp://127.0.0.1:1 has the unknown scheme"),
        (("--dialect", "tei"), "--dialect is for http://"),
        (("--clients", "0"), "--clients must be numbers above 0"),
        (("--clients", "a"), "--clients must be numbers above 0"),
        (("--seconds", "-1"), "--seconds must be above 0"),
        (("--seconds", "nan"), "--seconds must be above 0"),
        (("--seconds", "1", "--requests", "1"), "not both"),
        (("--rate", "5", "--clients", "2"), "--rate comes instead of"),
        (("--rate", "5", "--requests", "2"), "--rate comes instead of"),
        (("--api-key", "clé"), "--api-key has characters"),
        (("--json", "/nowhere/load.json"), "cannot write /nowhere/load.json"),
        (("--tokens", "9-3"), "--tokens must be"),
        (("--tokens", "many"), "--tokens must be"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(arguments: tuple[str, ...], words: str) -> None:
    """With exit status 1 and no trace."""
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("rerank: ")
    assert words in line


def test_a_key_that_is_wrong_is_told(start: Start, small_folder: Path) -> None:
    """Before any load."""
    server = start("--model", str(small_folder), RERANK_API_KEYS="sesame")
    for address, words in ((server.grpc, "UNAUTHENTICATED"), (server.rest, "HTTP 401")):
        done = bench("--server", address)
        assert done.returncode == 1
        assert words in done.stderr
