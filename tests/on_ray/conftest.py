"""Fixtures of the tests with Ray: a model, and processes that end with their test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.marked_processes import Started, marked_processes
from support.small import write_small_model


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle of the small model."""
    return write_small_model(tmp_path_factory.mktemp("models") / "small").folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    """Start Python in the folder of the test."""
    with marked_processes(tmp_path) as run:
        yield run
