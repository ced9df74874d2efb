"""The starter model of an earlier version has its scores in this version. `make upgrade-test` has that version."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.process import environment, started
from upgrade.comparison import differences
from upgrade.recorder.model import TEXTS

_OLD = os.environ.get("UPGRADE_FROM")
_LONG = " ".join(TEXTS * 5)
"""A text within the token limit, so that no version cuts it or splits it into windows."""


def _starter(python: str) -> Path:
    """Return the folder of the starter model in an environment."""
    find = "import pathlib, rerank_service as r; print(pathlib.Path(r.__file__).parent / 'models' / 'starter')"
    found = subprocess.run([python, "-c", find], env=environment(), check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def _rankings(python: str, model: Path) -> list[Any]:
    """Return the results of a server of an environment, for each text as the query."""
    with started("--model", str(model), "--provider", "cpu", python=python) as server:
        bodies = [{"query": query, "documents": [*TEXTS, _LONG], "raw_scores": True} for query in TEXTS]
        answers = [httpx.post(f"{server.rest}/v1/rerank", json=body, timeout=60, trust_env=False) for body in bodies]
        return [answer.raise_for_status().json()["results"] for answer in answers]


@pytest.mark.skipif(_OLD is None, reason="needs an earlier version: make upgrade-test")
def test_starter_of_an_earlier_version_has_its_scores() -> None:
    """This version has another starter model, but serves the earlier one from its folder."""
    assert _OLD is not None
    folder = _starter(_OLD)
    before = _rankings(_OLD, folder)
    assert not list(differences(before, _rankings(sys.executable, folder)))
