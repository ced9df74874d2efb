"""What the real clients sent is answered as it was when they parsed it; their page is what their tests recorded.

The clients themselves run in `make test-clients`. Replayed here, a change that would break one is seen without it.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from clients import page, pairs, records
from clients.servers import Servers, servers

_GOLDEN = pairs.read(page.GOLDEN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Servers]:
    """The servers that were recorded."""
    async with servers() as its:
        yield its


@pytest.mark.parametrize("client", _GOLDEN)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_client_gets_what_it_parsed(running: Servers, client: str) -> None:
    """The status, the headers, the shape of the body, and the order of its results."""
    async with httpx.AsyncClient(timeout=60) as http:
        for pair in _GOLDEN[client]:
            got = await _replay(http, running.rest[pair["server"]], pair["request"])
            assert got == pair["answer"] | {"body": pairs.shape(pair["answer"]["body"])}, pair["request"]


async def _replay(http: httpx.AsyncClient, root: str, request: dict[str, Any]) -> dict[str, Any]:
    url = root + request["path"]
    answer = await http.request(request["method"], url, headers=request["headers"], json=request["body"])
    body = pairs.normal(answer.json()) if answer.content else None
    return {
        "status": answer.status_code,
        "headers": pairs.told(answer.headers),
        "body": pairs.shape(body),
    }


def test_the_page_is_what_the_tests_recorded() -> None:
    """`make docs` makes it."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.made(text, records.read(page.RECORDS)) == text


def test_setup_lines_of_the_first_table_were_tested() -> None:
    """Check that each line of code under "after" in docs/clients.md is a recorded setup line."""
    first_table = page.PAGE.read_text(encoding="utf-8").partition("| coming from |")[2].partition("\n\n")[0]
    after = [row.split(" | ")[-1].strip(" |") for row in first_table.splitlines()[2:]]
    code = [line.strip("`") for line in after if line.startswith("`") and "(" in line]
    assert len(code) >= 15
    assert set(code) <= {page.setup_line(record) for record in records.read(page.RECORDS)}
