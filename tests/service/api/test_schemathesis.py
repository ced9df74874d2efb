"""schemathesis finds nothing wrong between the OpenAPI page and the server.

All its default checks run, on the same cases each time.
"""

import asyncio
import sys

import pytest

from rerank_service.auth import Keys
from support.running import Running, served

_SAME_BODIES = ("/v1/rerank", "/v2/rerank", "/infinity/rerank", "/score")
"""Paths whose bodies others have, too: for the cases made of single fields those suffice."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "options",
    [
        ("--phases", "examples,fuzzing,stateful", "--max-examples", "10"),
        ("--phases", "coverage", *(part for path in _SAME_BODIES for part in ("--exclude-path", path))),
    ],
    ids=["fuzzing", "coverage"],
)
async def test_schemathesis_finds_nothing(core: Running, options: tuple[str, ...]) -> None:
    """On a server that is ready and asks for a key."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        edges.routes.ready = True
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{edges.http.base_url}/openapi.json"),
            *("--header", "Authorization: Bearer sesame", "--generation-deterministic", "--no-color", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            report, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, report.decode()
