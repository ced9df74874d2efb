"""REST connections that clients keep alive, when the server gets SIGTERM."""

import signal
from pathlib import Path

import httpx

from support.process import Start, read_until


def test_sigterm_makes_keep_alive_clients_leave(start: Start, small_folder: Path) -> None:
    """During the drain delay, the request is answered, and its connection ends. A second signal ends the delay."""
    options = ("--model", str(small_folder), "--lanes", "1", "--provider", "cpu", "--drain-delay", "3600")
    server = start(*options)
    assert server.popen.stderr is not None
    body = {"query": "a", "documents": ["b"]}
    with httpx.Client(base_url=server.rest, timeout=60) as http:
        assert "connection" not in http.post("/v2/rerank", json=body, timeout=60).headers
        server.popen.send_signal(signal.SIGTERM)
        read_until(server.popen.stderr, "draining")
        last = http.post("/v2/rerank", json=body, timeout=60)
        assert (last.status_code, last.headers["connection"]) == (200, "close")
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
