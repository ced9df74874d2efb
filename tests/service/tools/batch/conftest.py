"""Fixtures for scorers of a job."""

import pytest

from rerank_service.tools import nothing_scored


@pytest.fixture
def short_text(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the text of all short pairs during the test."""
    monkeypatch.setattr("rerank_service.tools.nothing_scored.secrets.randbelow", lambda _: 7)
    return nothing_scored.short_text()
