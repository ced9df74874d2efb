"""Standard output has only the results of a command. Log lines and progress go to standard error."""

import json
from pathlib import Path

import pytest

from support.commands import rerank
from support.small import write_small_model

_COLLECTION = {"qid": "1", "query": "0", "documents": [{"id": "a", "text": "5", "grade": 1}, {"id": "b", "text": "7"}]}


@pytest.mark.parametrize(
    "arguments",
    [("eval", "one.jsonl"), ("tune", "--provider", "cpu", "--precision", "fp32")],
    ids=lambda arguments: arguments[0],
)
def test_log_lines_go_to_standard_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Also those of the level debug, which structlog alone would print on standard output."""
    (tmp_path / "one.jsonl").write_text(json.dumps(_COLLECTION))
    folder = str(write_small_model(tmp_path / "model").folder)
    variables = {"RERANK_CACHE": str(tmp_path / "cache"), "RERANK_LOG_LEVEL": "debug", "RERANK_LANES": "1"}
    done = rerank(*arguments, "--model", folder, cwd=tmp_path, **variables)
    assert done.returncode == 0
    assert "loading" not in done.stdout
    assert "debug" not in done.stdout
    assert done.stdout.startswith(("collection", "engines"))
    if arguments[0] == "eval":
        assert '"event": "loading"' in done.stderr
        assert done.stderr.splitlines()[-1] == "one: 2 of 2"
