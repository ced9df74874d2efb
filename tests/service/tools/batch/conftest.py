"""Fixtures for scorers of a job."""

import pytest

from rerank_service.tools import short_text as texts


@pytest.fixture
def short_text(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the text of all short pairs during the test."""
    monkeypatch.setattr("rerank_service.tools.short_text.secrets.randbelow", lambda _: 7)
    return texts.short_text()
