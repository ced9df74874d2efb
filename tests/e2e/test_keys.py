"""The file of API keys and CORS in a server process."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from support.process import Start, command, environment
from support.rest_calls import post

BODY = {"query": "0", "documents": ["1"]}


def _status(rest: str, key: str) -> int:
    return post(f"{rest}/v2/rerank", json=BODY, headers={"authorization": f"Bearer {key}"}).status_code


def test_keys_change_while_the_server_runs(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """A valid file counts from the next request on. An invalid one is logged with its line, and changes nothing."""
    file = tmp_path / "keys.yaml"
    file.write_text("- {name: a, key: one}\n- {name: b, key: two, requests_per_second: 0.001}\n")
    server = start("--model", str(small_folder), "--api-keys-file", str(file))
    assert [_status(server.rest, key) for key in ("one", "two", "two", "three")] == [200, 200, 429, 401]
    file.write_text("- {name: b, key: two, requests_per_second: 0.001}\n- {name: c, key: three}\n")
    assert [_status(server.rest, key) for key in ("one", "two", "three")] == [401, 429, 200]
    file.write_text("- name: c\n  key: three\n  key: four\n")
    assert [_status(server.rest, key) for key in ("three", "four")] == [200, 401]
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    log = server.log()
    lines = {str(line["event"]): line for line in log}
    assert (lines["API keys reloaded"]["added"], lines["API keys reloaded"]["removed"]) == (["c"], ["a"])
    why = str(lines["API keys not reloaded"]["error"])
    assert why == f"--api-keys-file or RERANK_API_KEYS_FILE is {str(file)!r}: entry 1, line 3: has key twice"
    refused = [
        (line["key"], line["reason"]) for line in log if line["event"] == "request finished" and "reason" in line
    ]
    anonymous = ("", "invalid_api_key")
    assert refused == [("b", "rate_limited"), anonymous, anonymous, ("b", "rate_limited"), anonymous]


def test_pages_of_an_origin_are_allowed(start: Start, small_folder: Path) -> None:
    """By the setting, as a browser asks."""
    server = start("--model", str(small_folder), RERANK_CORS_ORIGINS="https://search.example.com")
    preflight = {"origin": "https://search.example.com", "access-control-request-method": "POST"}
    response = httpx.options(f"{server.rest}/v2/rerank", headers=preflight, timeout=60)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, preflight["origin"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- {name: a, key: b, weight: 0}", "entry 1, line 1: weight must be a number from 0.01 to 100"),
        ("- name: a\n  key: b\n  key: c", "entry 1, line 3: has key twice"),
        (
            "- name: a\n  key: b\n  expiry: 2027-01-31",
            "entry 1, line 3: has an unknown field: the fields are",
        ),
        ("- name: a\n  key: b\n  expires: soon", "entry 1, line 3: expires must be a date, such as 2027-01-31"),
        ("- name: a\n  key: b\n  tokens_per_minute:", "entry 1, line 3: tokens_per_minute must be a whole number"),
    ],
)
def test_server_does_not_start_with_a_wrong_key_file(tmp_path: Path, content: str, words: str) -> None:
    """One line names the setting, the file, the entry, the line and the allowed values."""
    file = tmp_path / "keys.yaml"
    file.write_text(content)
    _fails(f"--api-keys-file or RERANK_API_KEYS_FILE is {str(file)!r}: {words}", "--api-keys-file", str(file))


@pytest.mark.parametrize("origins", ["https://a.example/", "*,https://a.example", "a.example"])
def test_server_does_not_start_with_wrong_origins(origins: str) -> None:
    """One line names the setting, the value and the form of an origin."""
    _fails("--cors-origins or RERANK_CORS_ORIGINS has ", "--cors-origins", origins)


def _fails(words: str, *arguments: str) -> None:
    done = subprocess.run(command("serve", *arguments), capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
