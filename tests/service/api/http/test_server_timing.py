"""The header Server-Timing of rankings: in every dialect, and readable by scripts of allowed origins."""

import re
from typing import Any

import pytest

from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.server_timing import server_timing
from rerank_service.ranking.results import Timing
from support.http import post
from support.running import Running, Served, served

FORM = r"queue;dur=\d+\.\d, tokenize;dur=\d+\.\d, inference;dur=\d+\.\d, total;dur=\d+\.\d"
BODY: dict[str, Any] = {"query": "0", "documents": ["1"]}


def test_times_are_milliseconds() -> None:
    """With one decimal, as browsers show them."""
    timing = Timing(queue=0.00123, tokenize=0.0004, inference=0.0081, total=1.0)
    expected = "queue;dur=1.2, tokenize;dur=0.4, inference;dur=8.1, total;dur=1000.0"
    assert server_timing(timing) == {"server-timing": expected}


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda dialect: type(dialect).__name__)
async def test_every_dialect_has_the_header(edges: Served, dialect: Dialect) -> None:
    """On the ranking of the dialect's example."""
    example = {name: value for name, value in dialect.example.items() if name != "model"}
    response = await post(edges, example, dialect.documented_paths[0] if dialect.documented_paths else dialect.paths[0])
    assert response.status_code == 200
    assert re.fullmatch(FORM, response.headers["server-timing"])


@pytest.mark.parametrize(("body", "status"), [({**BODY, "query": ""}, 400), ({**BODY, "model": "no-such"}, 404)])
async def test_errors_and_look_ups_have_none(edges: Served, body: dict[str, Any], status: int) -> None:
    """They rank nothing."""
    response = await post(edges, body)
    assert response.status_code == status
    assert "server-timing" not in response.headers
    assert "server-timing" not in (await edges.http.get("/v1/models")).headers


async def test_parts_are_within_the_total(edges: Served) -> None:
    """Also for a compressed response."""
    documents = [f"{number} {number + 1} {number * 7}" for number in range(400)]
    response = await post(edges, {**BODY, "documents": documents, "return_documents": True})
    times = dict(re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"]))
    assert response.headers["content-encoding"] == "gzip"
    assert all(0 <= float(times[name]) <= float(times["total"]) + 0.1 for name in ("queue", "tokenize", "inference"))


async def test_scripts_of_allowed_origins_may_read_it(core: Running) -> None:
    """CORS exposes it."""
    async with served(core, cors_origins=("https://search.example.com",)) as edges:
        response = await post(edges, BODY, origin="https://search.example.com")
        assert "server-timing" in response.headers["access-control-expose-headers"].split(", ")
