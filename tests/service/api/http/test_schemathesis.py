"""schemathesis finds no difference between the OpenAPI page and the server.

All its default checks run, on the same cases each time.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from rerank_service.api.auth import Keys
from support.running import Running, served

_EXAMPLES = {"nightly": 100}
"""Examples of each route by the profile of Hypothesis; 5 for others."""


@pytest.mark.timeout(3600)  # for the examples of a night, on a slow machine
async def test_schemathesis_finds_no_difference(core: Running, tmp_path: Path) -> None:
    """The server is ready and requires a key."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        edges.routes.ready = True
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{edges.http.base_url}/openapi.json"),
            *("--header", "Authorization: Bearer sesame", "--generation-deterministic", "--no-color"),
            *("--max-examples", str(_EXAMPLES.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 5))),
            cwd=tmp_path,  # it leaves a folder behind
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            report, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, report.decode()
