"""The wall clock of a started server jumps by a day, in both directions, while requests are live."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rerank.client import RerankClient
from support.clock_shim import ClockShim
from support.process import Start

_DAY = 86_400


def test_requests_do_not_notice_a_jump_of_the_clock(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """A stream is live during both jumps. Deadlines, limits of keys and forecasts stay as they are."""
    clock = ClockShim(tmp_path)
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {name: a, key: sesame, requests_per_second: 100, tokens_per_minute: 1000000}")
    server = start("--model", str(small_folder), "--api-keys-file", str(keys), **clock.variables)
    with (
        RerankClient(server.grpc, api_key="sesame", timeout=60, retries=0) as client,
        httpx.Client(base_url=server.rest, headers={"Authorization": "Bearer sesame"}, timeout=60) as http,
    ):

        def documents() -> Iterator[str]:
            for number, jump in enumerate((0, _DAY, -_DAY, 0)):
                clock.set(jump)
                yield str(number)
                response = http.post(
                    "/v2/rerank", json={"query": "0", "documents": ["1"]}, headers={"X-Request-Timeout": "30"}
                )
                assert response.status_code == 200, response.text
                assert response.json()["created"] == pytest.approx(time.time() + jump, abs=3600), "the clock has jumped"
                assert len(client.rerank("0", ["1", "2"]).results) == 2

        assert len(client.rerank_stream("0", documents()).results) == 4
        assert http.get("/health/ready").status_code == 200
    server.popen.terminate()
    assert server.ended() == 0
    assert {each["status"] for each in server.log() if each["event"] == "request finished"} <= {200, "OK"}
