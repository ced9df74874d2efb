"""Variables of the user's environment do not reach a test. tests/conftest.py sees to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

_TESTS = Path(__file__).parents[1]


class _Handler(BaseHTTPRequestHandler):
    """Answers each request."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Yield the address of a server on loopback."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def _run(code: str, *arguments: str, **variables: str) -> str:
    """Run code after tests/conftest.py, with variables in the environment, and return its output."""
    run = [sys.executable, "-c", f"import sys, conftest\n{code}", *arguments]
    done = subprocess.run(run, cwd=_TESTS, env=os.environ | variables, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_proxy_is_not_asked_for_servers_of_tests(url: str) -> None:
    """Other hosts that need no proxy stay known."""
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:1")
    code = "import httpx, os\nprint(httpx.get(sys.argv[1], timeout=60).status_code, os.environ['NO_PROXY'])"
    shown = _run(code, url, **proxy, NO_PROXY="example.com", no_proxy="")
    assert shown == "200 example.com,127.0.0.1,localhost,::1\n"


def test_settings_do_not_reach_a_command(tmp_path: Path) -> None:
    """RERANK_MODEL would change its results."""
    (tmp_path / "pairs.jsonl").write_text('{"query": "1", "document": "2"}\n')
    code = (
        "import json, os\n"
        "from pathlib import Path\n"
        "from support.commands import rerank\n"
        "done = rerank('batch', 'pairs.jsonl', 'scores.jsonl', cwd=Path(sys.argv[1]))\n"
        "names = [name for name in os.environ if name.startswith('RERANK_')]\n"
        "print(json.dumps([done.returncode, done.stderr, names]))\n"
    )
    status, stderr, names = json.loads(_run(code, str(tmp_path), RERANK_MODEL="/none"))
    assert (status, names) == (0, ["RERANK_CACHE"]), stderr
