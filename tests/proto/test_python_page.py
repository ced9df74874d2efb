"""The examples of docs/python.md run, against a server and in the process of the test."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from rerank_service.models.bundle import Bundle
from support.running import Served

pytestmark = pytest.mark.usefixtures("unconfigured_log")

_PAGE = Path(__file__).parents[2] / "docs" / "python.md"


async def test_examples_run(
    edges: Served, small_model: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, in one namespace."""
    monkeypatch.setenv("RERANK_MODEL", str(small_model.folder))
    blocks = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    code = "\n".join(blocks).replace("127.0.0.1:50051", edges.address)

    def run() -> None:
        namespace: dict[str, object] = {}
        exec(compile(code, str(_PAGE), "exec"), namespace)
        client: Any = namespace["client"]
        client.close()

    await asyncio.to_thread(run)
    printed = capsys.readouterr().out.splitlines()
    assert "top_n top_n must be at least 0, not -1" in printed
    assert any(line.startswith("1000 scores; best: ") for line in printed)
