"""Fixtures: bundles whose loads are fast."""

import pytest

from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from support.limits import batch_limits
from support.managed import FakeStore


@pytest.fixture
def store(small_model: Bundle) -> FakeStore:
    """Return a store without broken bundles."""
    return FakeStore(build_model(small_model, limits=batch_limits(), lanes=1))
