"""Models and running parts, as fixtures."""

import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.files import STARTER
from support.running import Running, Served, running, served
from support.small import write_small_model

# "ours": the same examples each time. "nightly": new ones, and more. Neither has a clock: a slow machine is no failure
settings.register_profile("ours", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ours"))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model's bundle."""
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def starter() -> Bundle:
    """The bundled model."""
    return open_bundle(STARTER)


@pytest.fixture
async def core(small_model: Bundle) -> AsyncIterator[Running]:
    """A running reranker on the small model, with one lane."""
    async with running(small_model) as parts:
        yield parts


@pytest.fixture
async def edges(core: Running) -> AsyncIterator[Served]:
    """Both edges on the small model."""
    async with served(core) as parts:
        yield parts
