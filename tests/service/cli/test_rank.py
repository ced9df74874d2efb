"""`rerank rank` with a running server."""

import asyncio
import json
import subprocess
from pathlib import Path

from support.process import command, environment
from support.running import Served

_LONE = b"1 \xed\xa0\xbd"


async def _ranked(edges: Served, *arguments: str | bytes, cwd: Path) -> dict[int, str]:
    """Return the documents of the results by index."""
    words = [*command("rank", "--server", edges.address, "--json"), *arguments]
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, cwd=cwd, env=environment(), timeout=60, check=True
    )
    results = map(json.loads, done.stdout.decode().splitlines())
    return {result["index"]: result["document"] for result in results}


async def test_lone_surrogate_of_an_argument_becomes_the_replacement_character(edges: Served, tmp_path: Path) -> None:
    """In the query too."""
    assert await _ranked(edges, _LONE, _LONE, "😀", cwd=tmp_path) == {0: "1 \ufffd", 1: "😀"}


async def test_lone_surrogate_of_a_line_becomes_the_replacement_character(edges: Served, tmp_path: Path) -> None:
    """The byte order mark and the line ends are no text."""
    (tmp_path / "lines.txt").write_bytes(b"\xef\xbb\xbf" + _LONE + b"\r\n2\n")
    assert await _ranked(edges, "0", "--file", "lines.txt", cwd=tmp_path) == {0: "1 \ufffd", 1: "2"}
