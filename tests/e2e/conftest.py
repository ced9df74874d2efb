"""Fixtures: started servers and the bundle of the small model."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.process import Start, started
from support.small import write_small_model


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **variables: stack.enter_context(started(*arguments, **variables))


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle of the small model."""
    return write_small_model(tmp_path_factory.mktemp("models") / "small").folder
