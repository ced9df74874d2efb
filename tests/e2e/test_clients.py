"""Replay of requests that real clients sent: the responses still have the form that the clients parsed.

The clients themselves run in `make test-clients`. The table in docs/clients.md must equal their records.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from clients import golden_pairs, page, records
from clients.__main__ import main
from clients.servers import Servers, servers
from support.rest_calls import NO_TLS

_GOLDEN = golden_pairs.read(page.GOLDEN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started() -> AsyncIterator[Servers]:
    """Start the servers of the recordings."""
    async with servers() as running:
        yield running


@pytest.mark.parametrize("client", _GOLDEN)
@pytest.mark.asyncio(loop_scope="module")
async def test_client_gets_the_response_that_it_parsed(started: Servers, client: str) -> None:
    """Check the status, the headers, the shape of the body, and the order of the results."""
    async with httpx.AsyncClient(timeout=60, verify=NO_TLS) as http:
        for pair in _GOLDEN[client]:
            response = await _replay(http, started.rest[pair["server"]], pair["request"])
            assert response == pair["answer"] | {"body": golden_pairs.shape(pair["answer"]["body"])}, pair["request"]


async def _replay(http: httpx.AsyncClient, root: str, request: dict[str, Any]) -> dict[str, Any]:
    url = root + request["path"]
    response = await http.request(request["method"], url, headers=request["headers"], json=request["body"])
    body = golden_pairs.normal(response.json()) if response.content else None
    return {
        "status": response.status_code,
        "headers": golden_pairs.response_headers(response.headers),
        "body": golden_pairs.shape(body),
    }


def test_page_equals_the_records() -> None:
    """`make docs` updates the table."""
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.made(text, records.read(page.RECORDS), golden_pairs.read(page.GOLDEN)) == text


def test_page_without_a_change_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make docs` may run while tests read the page."""
    written: list[Path] = []
    monkeypatch.setattr(Path, "write_text", lambda file, *_, **__: written.append(file))
    page.write()
    assert not written


def test_setup_lines_of_the_first_table_were_tested() -> None:
    """Check that each line of code under "after" in docs/clients.md is a recorded setup line."""
    first_table = page.PAGE.read_text(encoding="utf-8").partition("| coming from |")[2].partition("\n\n")[0]
    after = [row.split(" | ")[-1].strip(" |") for row in first_table.splitlines()[2:]]
    code = [line.strip("`") for line in after if line.startswith("`") and "(" in line]
    assert len(code) >= 15
    assert set(code) <= {page.setup_line(record) for record in records.read(page.RECORDS)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "cohere"], "invalid choice: 'cohere'"),
        (["--only", "js", "--keep"], "--keep replaces the records of all environments: leave out --only"),
    ],
)
def test_options_without_effect_are_rejected(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With status 2, before a server is started. Otherwise, a misspelt name would run no test, and pass."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
